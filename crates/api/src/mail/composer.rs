//! The mails of the API, composed for the outbox.

use std::{sync::Arc, time::Duration};

use examhall_boot::{
    settings::{ApiSettings, AuthSecrets},
    traces,
};
use examhall_core::{
    EmailAddress, EmailJob, ExamResult, Locale, MailClass, MailHeaders, Priority, Recipients, Timestamp, UserId,
    check_line,
};
use examhall_store::{NewMail, WaitingMail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::{
    custom::{CUSTOM, CustomMail, Delivery},
    seal::Seal,
    unsubscribe::UnsubscribeTokens,
};
use crate::{
    auth::SecretToken,
    templates::{InvitationVariables, MAILS, MailVariables, ResultVariables, Templates},
};

/// How long the link of a verification mail works.
pub(crate) const VERIFICATION_LIFE: Duration = Duration::from_hours(24);
/// How long the link of a reset mail works.
pub(crate) const RESET_LIFE: Duration = Duration::from_hours(1);
/// How long the link of an invitation works: as long as an account that nobody has proven is kept.
pub(crate) const INVITATION_LIFE: Duration = Duration::from_hours(7 * 24);
/// How long the link of a mail to a former address works.
pub(crate) const EMAIL_UNDO_LIFE: Duration = Duration::from_hours(7 * 24);
/// The template of mails that the database itself puts into the outbox.
pub(crate) const RESULT_PUBLISHED: &str = "result-published";
/// The template of mails about results that were graded again.
pub(crate) const RESULT_CHANGED: &str = "result-changed";
/// The template of invitations to exams.
const EXAM_INVITATION: &str = "exam-invitation";

/// A mail by what it is to say.
pub(crate) enum MailTemplate {
    /// "Is this address yours?" The sign-up may be a stranger's, so its name is left out.
    Verification { token: SecretToken },
    /// "Somebody signed up with your address, which has an account."
    AlreadyRegistered { name: String },
    /// "Choose a new password." With a name where the address is proven.
    Reset { name: Option<String>, token: SecretToken },
    /// "Is this address yours, which somebody wants for their account?"
    NewEmail { token: SecretToken },
    /// "Your account has another address." It goes to the former one.
    EmailChanged { name: String, token: SecretToken },
    /// "You are invited: choose a password."
    AccountInvitation { token: SecretToken },
    /// "You are invited to an exam: choose a password, or log in."
    ExamInvitation { token: SecretToken, news: InvitationNews, until: Timestamp },
    /// "Your account is deleted."
    AccountDeleted { name: String },
    /// "Your password was changed."
    PasswordChanged { name: String },
    /// "You have submitted an exam: this is what you earned."
    Result(ResultNews),
    /// "Your result has changed: it was graded again."
    ResultChanged(ResultNews),
}

/// What a mail says of a result. Rows of former versions lack the last two fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResultNews {
    name: String,
    exam: String,
    score: f64,
    max_score: f64,
    percent: f64,
    passed: YesNo,
    /// In ms since 1970.
    graded_at: Option<i64>,
    /// Who may end such mails.
    user: Option<UserId>,
    /// What it was before: score and maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<(f64, f64)>,
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
            graded_at: Some(result.graded_at.as_millis()),
            user: Some(result.user_id),
            before: None,
        }
    }

    /// With what the result was before.
    pub(crate) fn after(self, before: &ExamResult) -> Self {
        Self { before: Some((before.score, before.max_score)), ..self }
    }

    fn variables(&self) -> ResultVariables<'_> {
        ResultVariables {
            exam: &self.exam,
            score: self.score,
            max_score: self.max_score,
            percent: self.percent,
            passed: self.passed == YesNo::Yes,
            graded_at: self.graded_at.unwrap_or_default(),
            before: self.before.unwrap_or_default(),
        }
    }
}

/// What an invitation says of an exam. Moments are in ms since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InvitationNews {
    /// As the exam's author calls the reader; may be empty.
    pub(crate) name: String,
    /// Title of the exam.
    pub(crate) exam: String,
    pub(crate) opens_at: Option<i64>,
    pub(crate) closes_at: Option<i64>,
}

impl InvitationNews {
    fn variables(&self, until: Option<Timestamp>) -> InvitationVariables<'_> {
        InvitationVariables {
            exam: &self.exam,
            opens_at: self.opens_at.unwrap_or_default(),
            closes_at: self.closes_at.unwrap_or_default(),
            until: until.map(Timestamp::as_millis).unwrap_or_default(),
        }
    }
}

impl MailTemplate {
    /// The token that the link carries, and until when it is good.
    fn token(&self, now: Timestamp) -> Option<(&SecretToken, Timestamp)> {
        let (token, life) = match self {
            Self::Verification { token } | Self::NewEmail { token } => (token, VERIFICATION_LIFE),
            Self::AccountInvitation { token } => (token, INVITATION_LIFE),
            Self::EmailChanged { token, .. } => (token, EMAIL_UNDO_LIFE),
            Self::Reset { token, .. } => (token, RESET_LIFE),
            Self::ExamInvitation { token, until, .. } => return Some((token, *until)),
            Self::AlreadyRegistered { .. }
            | Self::PasswordChanged { .. }
            | Self::AccountDeleted { .. }
            | Self::Result(_)
            | Self::ResultChanged(_) => return None,
        };
        Some((token, now.plus(life)))
    }

    const fn priority(&self) -> Priority {
        match self {
            Self::Result(_) => Priority::DEFAULT,
            Self::ExamInvitation { .. } => Priority::INVITATION,
            Self::ResultChanged(_) => Priority::LOWEST, // thousands at once
            _ => Priority::HIGHEST,
        }
    }
}

/// Puts templates into outbox rows, and makes e-mail jobs of such rows.
pub(crate) struct MailComposer {
    seal: Seal,
    unsubscribe_tokens: UnsubscribeTokens,
    public_url: Url,
    reply_to: Recipients,
    templates: Arc<Templates>,
}

/// What the rows of all our mails hold.
#[derive(Serialize, Deserialize)]
struct Params {
    /// Empty where nobody has proven that the address is theirs.
    #[serde(default)]
    name: String,
    /// Language of the mail.
    #[serde(default)]
    locale: Option<String>,
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
    Template(#[from] minijinja::Error),
}

/// `MAIL_REPLY_TO` is no mailbox.
#[derive(Debug, thiserror::Error)]
#[error("MAIL_REPLY_TO: {0}")]
pub(crate) struct BadReplyTo(String);

impl MailComposer {
    /// Seals and signs with the first of `secrets`.
    ///
    /// # Errors
    /// Returns an error if `MAIL_REPLY_TO` is no mailbox.
    pub(crate) fn new(
        secrets: &AuthSecrets,
        settings: &ApiSettings,
        templates: Arc<Templates>,
    ) -> Result<Self, BadReplyTo> {
        Ok(Self {
            seal: Seal::new(secrets),
            unsubscribe_tokens: UnsubscribeTokens::new(secrets),
            public_url: settings.public_url.clone(),
            reply_to: settings.brand.reply_to.as_deref().map(mailbox).transpose()?.unwrap_or_default(),
            templates,
        })
    }

    /// The outbox row of a template, for a reader of this language.
    pub(crate) fn envelope(
        &self,
        to: EmailAddress,
        template: &MailTemplate,
        locale: Option<&Locale>,
        now: Timestamp,
    ) -> NewMail {
        let id = Uuid::now_v7();
        let named = |name: &str| json!({"name": name});
        let (template_name, class, mut params) = match template {
            MailTemplate::Verification { .. } => ("verification", MailClass::Verification, named("")),
            MailTemplate::AlreadyRegistered { name } => ("already-registered", MailClass::Verification, named(name)),
            MailTemplate::Reset { name, .. } => ("reset", MailClass::Reset, named(name.as_deref().unwrap_or_default())),
            MailTemplate::NewEmail { .. } => ("new-email", MailClass::Verification, named("")),
            MailTemplate::EmailChanged { name, .. } => ("email-changed", MailClass::Reset, named(name)),
            MailTemplate::AccountInvitation { .. } => ("account-invitation", MailClass::Verification, named("")),
            MailTemplate::ExamInvitation { news, .. } => (EXAM_INVITATION, MailClass::Invitation, json!(news)),
            MailTemplate::AccountDeleted { name } => ("account-deleted", MailClass::Reset, named(name)),
            MailTemplate::PasswordChanged { name } => ("password-changed", MailClass::Reset, named(name)),
            MailTemplate::Result(news) => ("result", MailClass::Result, json!(news)),
            MailTemplate::ResultChanged(news) => (RESULT_CHANGED, MailClass::Result, json!(news)),
        };
        params["locale"] = json!(locale);
        let token = template.token(now);
        NewMail {
            id,
            class,
            template: template_name.to_owned(),
            to,
            params,
            sealed: token.map(|(token, _)| self.seal.close(id, token.as_str())).unwrap_or_default(),
            priority: template.priority(),
            expires_at: token.map(|(_, until)| until),
            trace: traces::current(),
        }
    }

    /// The job of an outbox row: the same bytes, however often it is made.
    pub(crate) fn compose(&self, waiting: &WaitingMail) -> Result<(EmailJob, Delivery), CannotCompose> {
        let mail = &waiting.mail;
        if mail.template == CUSTOM {
            let (job, delivery) = serde_json::from_value::<CustomMail>(mail.params.clone())?.into_job();
            return Ok((EmailJob { reply_to: self.reply_to.clone(), ..job }, delivery));
        }
        if !MAILS.contains(&mail.template.as_str()) {
            return Err(CannotCompose::NoSuchTemplate(mail.template.clone()));
        }
        let Params { mut name, locale } = serde_json::from_value(mail.params.clone())?;
        let locale = locale.and_then(|tag| Locale::parse(&tag).ok());
        let token = || self.seal.open(mail.id, &mail.sealed);
        let (mut news, mut invited) = (None, None);
        let link = match mail.template.as_str() {
            "verification" => {
                name.clear(); // rows of former versions have one
                self.link("verify", &token()?)
            }
            "new-email" => self.link("verify", &token()?),
            "email-changed" => self.link("undo-email", &token()?),
            "reset" | "account-invitation" => self.link("reset", &token()?),
            EXAM_INVITATION => {
                invited = Some(serde_json::from_value::<InvitationNews>(mail.params.clone())?);
                self.link("invitation", &token()?)
            }
            "result" | RESULT_PUBLISHED | RESULT_CHANGED => {
                news = Some(serde_json::from_value::<ResultNews>(mail.params.clone())?);
                self.public_url.to_string()
            }
            _ => self.public_url.to_string(),
        };
        let user = news.as_ref().and_then(|news| news.user);
        let unsubscribe_link = user.map(|user| self.link("unsubscribe", &self.unsubscribe_tokens.of(user)));
        let variables = MailVariables {
            name: &name,
            link: &link,
            unsubscribe_link: unsubscribe_link.as_deref().unwrap_or_default(),
            result: news.as_ref().map(ResultNews::variables),
            invitation: invited.as_ref().map(|invited| invited.variables(mail.expires_at)),
        };
        let render = |ending: &str, subject: &str| {
            let file = format!("{}{ending}", mail.template);
            self.templates.render(&file, locale.as_ref(), &variables.to_value(subject))
        };
        let subject = render(".subject.txt", "")?.split_whitespace().collect::<Vec<_>>().join(" ");
        let job = EmailJob {
            to: mail.to.as_str().into(),
            text: Some(render(".txt", &subject)?),
            html: render(".html", &subject)?,
            subject,
            reply_to: self.reply_to.clone(),
            headers: headers(unsubscribe_link.as_deref()),
            expires_at: mail.expires_at,
            class: mail.class,
            ..EmailJob::default()
        };
        Ok((job, Delivery::default()))
    }

    /// The user whose mails about results the link with this token ends.
    pub(crate) fn unsubscriber(&self, token: &str) -> Option<UserId> {
        self.unsubscribe_tokens.open(token)
    }

    /// `PUBLIC_URL/page?token=...`
    fn link(&self, page: &str, token: &str) -> String {
        let mut link = self.public_url.clone();
        link.set_path(&format!("{}/{page}", link.path().trim_end_matches('/')));
        link.query_pairs_mut().clear().append_pair("token", token);
        link.into()
    }
}

/// No vacation notice answers (RFC 3834); mail programs show a button that ends such mails (RFC 2369, RFC 8058).
fn headers(unsubscribe_link: Option<&str>) -> MailHeaders {
    let mut headers = vec![("Auto-Submitted".to_owned(), "auto-generated".to_owned())];
    if let Some(link) = unsubscribe_link {
        headers.push(("List-Unsubscribe".to_owned(), format!("<{link}>")));
        headers.push(("List-Unsubscribe-Post".to_owned(), "List-Unsubscribe=One-Click".to_owned()));
    }
    MailHeaders(headers)
}

/// Parses `local@domain` or `Name <local@domain>`.
fn mailbox(text: &str) -> Result<Recipients, BadReplyTo> {
    let (name, address) = match text.trim().strip_suffix('>').and_then(|text| text.rsplit_once('<')) {
        Some((name, address)) => (name.trim().trim_matches('"'), address),
        None => ("", text),
    };
    let address = EmailAddress::parse(address.trim()).map_err(|error| BadReplyTo(error.to_string()))?;
    if name.is_empty() {
        return Ok(address.as_str().into());
    }
    check_line(name).map_err(|error| BadReplyTo(error.to_string()))?;
    let name = name.replace('\\', "\\\\").replace('"', "\\\"");
    Ok(Recipients(vec![format!("\"{name}\" <{}>", address.as_str())]))
}

#[cfg(test)]
mod tests;
