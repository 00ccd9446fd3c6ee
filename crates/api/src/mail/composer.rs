//! The mails of the API, composed for the outbox.

use std::time::Duration;

use examhall_boot::traces;
use examhall_core::{EmailAddress, EmailJob, ExamResult, MailClass, Priority, Timestamp};
use examhall_store::{NewMail, WaitingMail};
use secrecy::SecretString;
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::{
    custom::{CUSTOM, CustomMail, Delivery},
    seal::Seal,
    templates::{self, Texts},
};
use crate::auth::SecretToken;

/// How long the link of a verification mail works.
pub(crate) const VERIFICATION_LIFE: Duration = Duration::from_hours(24);
/// How long the link of a reset mail works.
pub(crate) const RESET_LIFE: Duration = Duration::from_hours(1);
/// The template of mails that the database itself puts into the outbox.
pub(crate) const RESULT_PUBLISHED: &str = "result-published";

/// A mail by what it is to say.
pub(crate) enum MailTemplate {
    /// "Is this address yours?" The sign-up may be a stranger's, so its name is left out.
    Verification { token: SecretToken },
    /// "Somebody signed up with your address, which has an account."
    AlreadyRegistered { name: String },
    /// "Choose a new password." With a name where the address is proven.
    Reset { name: Option<String>, token: SecretToken },
    /// "Your password was changed."
    PasswordChanged { name: String },
    /// "You have submitted an exam: this is what you earned."
    Result(ResultNews),
}

/// What a mail says of a result.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResultNews {
    name: String,
    exam: String,
    score: f64,
    max_score: f64,
    percent: f64,
    passed: YesNo,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum YesNo {
    Yes,
    No,
}

impl ResultNews {
    /// The news of `result`.
    pub(crate) fn new(name: &str, exam: &str, result: &ExamResult) -> Self {
        Self {
            name: name.to_owned(),
            exam: exam.to_owned(),
            score: result.score,
            max_score: result.max_score,
            percent: result.percent,
            passed: if result.passed { YesNo::Yes } else { YesNo::No },
        }
    }
}

/// Every mail there is, by its template's name.
pub(crate) const NAMES: [&str; 6] =
    ["verification", "already-registered", "reset", "password-changed", "result", RESULT_PUBLISHED];

/// A mail as it would be sent, with made-up contents; `name` is one of [`NAMES`].
pub(crate) fn preview(public_url: Url, name: &str) -> Result<EmailJob, CannotCompose> {
    let (owner, token) = ("Ada Lovelace".to_owned(), SecretToken::from_text("a-token-that-opens-nothing".to_owned()));
    let news = ResultNews {
        name: owner.clone(),
        exam: "Algebra".to_owned(),
        score: 33.5,
        max_score: 40.0,
        percent: 83.75,
        passed: YesNo::Yes,
    };
    let template = match name {
        "verification" => MailTemplate::Verification { token },
        "already-registered" => MailTemplate::AlreadyRegistered { name: owner },
        "reset" => MailTemplate::Reset { name: Some(owner), token },
        "password-changed" => MailTemplate::PasswordChanged { name: owner },
        "result" | RESULT_PUBLISHED => MailTemplate::Result(news),
        other => return Err(CannotCompose::NoSuchTemplate(other.to_owned())),
    };
    let to = EmailAddress::parse("ada@example.com").expect("it is an address");
    let (mail_composer, at) =
        (MailComposer::new(&"a preview needs no secret".into(), public_url), Timestamp::from_millis(0));
    let mut mail = mail_composer.envelope(to, &template, at);
    name.clone_into(&mut mail.template);
    mail_composer.compose(&WaitingMail { mail, created_at: at, claims: 1 }).map(|(job, _)| job)
}

/// Puts templates into outbox rows, and makes e-mail jobs of such rows.
pub(crate) struct MailComposer {
    seal: Seal,
    public_url: Url,
}

#[derive(Serialize, Deserialize)]
struct Params {
    /// Empty where nobody has proven that the address is theirs.
    name: String,
}

/// Why a row of the outbox cannot be made into a mail.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CannotCompose {
    #[error("there is no template {0:?}")]
    NoSuchTemplate(String),
    #[error("its parameters cannot be read: {0}")]
    Params(#[from] serde_json::Error),
    #[error(transparent)]
    Sealed(#[from] super::seal::CannotOpen),
    #[error("its template cannot be rendered: {0}")]
    Template(#[from] askama::Error),
}

impl MailComposer {
    /// Seals with `secret`; links begin with `public_url`.
    pub(crate) fn new(secret: &SecretString, public_url: Url) -> Self {
        Self { seal: Seal::new(secret), public_url }
    }

    /// The outbox row of a template.
    pub(crate) fn envelope(&self, to: EmailAddress, template: &MailTemplate, now: Timestamp) -> NewMail {
        let id = Uuid::now_v7();
        let named = |name: &str| json!(Params { name: name.to_owned() });
        let (template_name, class, params) = match template {
            MailTemplate::Verification { .. } => ("verification", MailClass::Verification, named("")),
            MailTemplate::AlreadyRegistered { name } => ("already-registered", MailClass::Verification, named(name)),
            MailTemplate::Reset { name, .. } => ("reset", MailClass::Reset, named(name.as_deref().unwrap_or_default())),
            MailTemplate::PasswordChanged { name } => ("password-changed", MailClass::Reset, named(name)),
            MailTemplate::Result(news) => ("result", MailClass::Result, json!(news)),
        };
        let (secret, life) = match template {
            MailTemplate::Verification { token } => (Some(token), Some(VERIFICATION_LIFE)),
            MailTemplate::Reset { token, .. } => (Some(token), Some(RESET_LIFE)),
            MailTemplate::AlreadyRegistered { .. } | MailTemplate::PasswordChanged { .. } | MailTemplate::Result(_) => {
                (None, None)
            }
        };
        let priority = if class == MailClass::Result { Priority::DEFAULT } else { Priority::HIGHEST };
        NewMail {
            id,
            class,
            template: template_name.to_owned(),
            to,
            params,
            sealed: secret.map(|token| self.seal.close(id, token.as_str())).unwrap_or_default(),
            priority,
            expires_at: life.map(|life| now.plus(life)),
            trace: traces::current(),
        }
    }

    /// The job of an outbox row: the same bytes, however often it is made.
    pub(crate) fn compose(&self, waiting: &WaitingMail) -> Result<(EmailJob, Delivery), CannotCompose> {
        let mail = &waiting.mail;
        if mail.template == CUSTOM {
            return Ok(serde_json::from_value::<CustomMail>(mail.params.clone())?.into_job());
        }
        let texts = self.texts(mail)?;
        let job = EmailJob {
            to: mail.to.as_str().into(),
            subject: texts.subject,
            html: texts.html,
            text: Some(texts.text),
            expires_at: mail.expires_at,
            class: mail.class,
            ..EmailJob::default()
        };
        Ok((job, Delivery::default()))
    }

    fn texts(&self, mail: &NewMail) -> Result<Texts, CannotCompose> {
        let name = || serde_json::from_value(mail.params.clone()).map(|Params { name }| name);
        let token = || self.seal.open(mail.id, &mail.sealed);
        let home = self.public_url.as_str();
        Ok(match mail.template.as_str() {
            "verification" => templates::verification::render(&self.link("verify", &token()?))?,
            "already-registered" => templates::already_registered::render(&name()?, home)?,
            "reset" => templates::reset::render(&name()?, &self.link("reset", &token()?))?,
            "password-changed" => templates::password_changed::render(&name()?, home)?,
            "result" | RESULT_PUBLISHED => {
                let news: ResultNews = serde_json::from_value(mail.params.clone())?;
                let numbers = [news.score, news.max_score, news.percent].map(|number| number.to_string());
                let [score, max_score, percent] = &numbers;
                let passed = if news.passed == YesNo::Yes { "yes" } else { "no" };
                let render = if mail.template == RESULT_PUBLISHED {
                    templates::result_published::render
                } else {
                    templates::result::render
                };
                render(&news.name, &news.exam, score, max_score, percent, passed, home)?
            }
            other => return Err(CannotCompose::NoSuchTemplate(other.to_owned())),
        })
    }

    /// `PUBLIC_URL/page?token=...`
    fn link(&self, page: &str, token: &str) -> String {
        let mut link = self.public_url.clone();
        link.set_path(&format!("{}/{page}", link.path().trim_end_matches('/')));
        link.query_pairs_mut().clear().append_pair("token", token);
        link.into()
    }
}

#[cfg(test)]
mod tests;
