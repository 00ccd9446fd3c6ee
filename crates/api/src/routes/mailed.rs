//! What routes share that have mails sent: the answer, the token in the mail, and the mail itself.

use std::time::Duration;

use examhall_core::{BadEmailAddress, EmailAddress, Locale, Timestamp};
use examhall_store::{Account, Error, NewMail, NewMailToken, TokenPurpose};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    auth::SecretToken,
    http::{
        problem::{FieldError, Problem},
        respond::Accepted,
    },
    mail::MailTemplate,
    state::{State, now},
};

/// The outcome, in words.
#[derive(Serialize, JsonSchema)]
pub(super) struct Message {
    pub(super) message: &'static str,
}

/// The mail to an account: in its language, or else in that of the request.
pub(super) fn envelope(
    state: &State,
    account: &Account,
    template: &MailTemplate,
    language: Option<&Locale>,
    now: Timestamp,
) -> NewMail {
    state.mail_composer.envelope(account.email.clone(), template, account.locale.as_ref().or(language), now)
}

pub(super) fn check_your_email() -> Accepted<Message> {
    Accepted(Message { message: "Check your email" })
}

pub(super) fn mail_token(token: &SecretToken, purpose: TokenPurpose, life: Duration) -> NewMailToken {
    NewMailToken { hash: token.hash(), purpose, expires_at: now().plus(life) }
}

/// Of a body that has been checked, and so of none.
pub(super) fn bad_address(error: BadEmailAddress) -> Problem {
    Problem::invalid(vec![FieldError { pointer: "/email".to_owned(), detail: error.to_string() }])
}

/// Mails the owner of an address that somebody tried to sign up with it.
pub(super) async fn notify_owner(
    state: &State,
    email: &EmailAddress,
    language: Option<&Locale>,
    now: Timestamp,
) -> Result<(), Error> {
    let notice = mail_token(&SecretToken::random(), TokenPurpose::Notice, Duration::ZERO);
    let template = |account: &Account| {
        let template = MailTemplate::AlreadyRegistered { name: account.name.clone() };
        envelope(state, account, &template, language, now)
    };
    state.store.accounts.mail_token(email, &notice, template, now).await?;
    Ok(())
}
