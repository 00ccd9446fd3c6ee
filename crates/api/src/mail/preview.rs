//! Mails with made-up contents, to look at.

use std::sync::Arc;

use examhall_boot::settings::ApiSettings;
use examhall_core::{AttemptId, EmailAddress, EmailJob, ExamId, ExamResult, Locale, ResultId, Timestamp, UserId};
use examhall_store::WaitingMail;
use secrecy::SecretString;
use uuid::Uuid;

use super::{
    CannotCompose, InvitationNews, MailComposer, MailTemplate, RESULT_PUBLISHED, ResultNews, composer::BadReplyTo,
};
use crate::{auth::SecretToken, templates::Templates};

/// Noon of a day in the past.
const GRADED_AT: Timestamp = Timestamp::from_millis(1_795_867_200_000);

/// Makes mails as they would be sent, with made-up contents.
pub(crate) struct Previews(MailComposer);

impl Previews {
    /// Makes those of these templates.
    ///
    /// # Errors
    /// Returns an error if `MAIL_REPLY_TO` is no mailbox.
    pub(crate) fn new(settings: &ApiSettings, templates: Arc<Templates>) -> Result<Self, BadReplyTo> {
        // The secret of the real ones would make links that work.
        MailComposer::new(&SecretString::from("a preview needs no secret").into(), settings, templates).map(Self)
    }

    /// Makes the mail `name`, one of [`MAILS`](crate::templates::MAILS), for a reader of this language.
    ///
    /// # Errors
    /// Returns an error if there is no such mail.
    pub(crate) fn mail(&self, name: &str, locale: Option<&Locale>) -> anyhow::Result<EmailJob> {
        let (owner, token) =
            ("Ada Lovelace".to_owned(), SecretToken::from_text("a-token-that-opens-nothing".to_owned()));
        let template = match name {
            "verification" => MailTemplate::Verification { token },
            "already-registered" => MailTemplate::AlreadyRegistered { name: owner },
            "reset" => MailTemplate::Reset { name: Some(owner), token },
            "new-email" => MailTemplate::NewEmail { token },
            "email-changed" => MailTemplate::EmailChanged { name: owner, token },
            "account-invitation" => MailTemplate::AccountInvitation { token },
            "exam-invitation" => {
                let (exam, day) = ("Algebra".to_owned(), 24 * 60 * 60 * 1000);
                let [opens_at, closes_at] = [1, 8].map(|days| Some(GRADED_AT.as_millis() + days * day));
                let until = Timestamp::from_millis(closes_at.unwrap_or_default());
                let news = InvitationNews { name: owner, exam, opens_at, closes_at };
                MailTemplate::ExamInvitation { token, news, until }
            }
            "account-deleted" => MailTemplate::AccountDeleted { name: owner },
            "password-changed" => MailTemplate::PasswordChanged { name: owner },
            "result" | RESULT_PUBLISHED => MailTemplate::Result(ResultNews::new(&owner, "Algebra", &result())),
            "result-changed" => {
                let before = ExamResult { score: 31.0, ..result() };
                MailTemplate::ResultChanged(ResultNews::new(&owner, "Algebra", &result()).after(&before))
            }
            other => return Err(CannotCompose::NoSuchTemplate(other.to_owned()).into()),
        };
        let to = EmailAddress::parse("ada@example.com")?;
        let mut mail = self.0.envelope(to, &template, locale, GRADED_AT);
        name.clone_into(&mut mail.template);
        Ok(self.0.compose(&WaitingMail { mail, created_at: GRADED_AT, claims: 1 })?.0)
    }
}

fn result() -> ExamResult {
    ExamResult {
        id: ResultId(Uuid::nil()),
        exam_id: ExamId(Uuid::nil()),
        attempt_id: AttemptId(Uuid::nil()),
        user_id: UserId(Uuid::nil()),
        score: 33.5,
        max_score: 40.0,
        percent: 83.75,
        passed: true,
        graded_at: GRADED_AT,
        regraded_at: None,
    }
}
