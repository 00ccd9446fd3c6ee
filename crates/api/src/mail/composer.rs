//! The mails of the API, composed for the outbox.

use std::sync::Arc;

use examhall_boot::{
    settings::{ApiSettings, AuthSecrets},
    traces,
};
use examhall_core::{
    EmailAddress, EmailJob, Locale, MailClass, MailHeaders, Recipients, Timestamp, UserId, check_line,
};
use examhall_store::{NewMail, WaitingMail};
use serde::{Deserialize, Serialize};
use serde_json::json;
use url::Url;
use uuid::Uuid;

use super::{
    contents::{EXAM_INVITATION, InvitationNews, MailTemplate, RESULT_CHANGED, RESULT_PUBLISHED, ResultNews},
    custom::{CUSTOM, CustomMail, Delivery},
    seal::Seal,
    unsubscribe::UnsubscribeTokens,
};
use crate::templates::{MAILS, MailVariables, Templates};

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
