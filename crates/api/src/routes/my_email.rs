//! `/users/me/email`: another address for an account, and the way back.

use actix_web::web;
use examhall_core::{EmailAddress, Locale};
use examhall_store::{Account, EmailChange, TokenPurpose};
use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;

use super::mailed::{Message, bad_address, check_your_email, envelope, mail_token, notify_owner};
use crate::{
    auth::SecretToken,
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::LoggedIn,
        guards::CountedClient,
        language::AcceptedLanguage,
        problem::{FieldError, Problem},
        respond::Accepted,
        text::is_address,
    },
    log_in::prove,
    mail::{EMAIL_UNDO_LIFE, MailTemplate, RESET_LIFE, VERIFICATION_LIFE},
    openapi::{Operation, post},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/users/me/email", "changeEmail", "Ask for another address; a mail to it proves it", ask),
        post("/auth/undo-email", "undoEmail", "Take the change of an address back", undo_by_token),
    ]
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewEmail {
    #[garde(custom(is_address))]
    #[schemars(with = "EmailAddress")]
    email: String,
    /// The account's.
    #[garde(length(bytes, max = 4096))]
    password: String,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Undo {
    /// From the link in the mail.
    #[garde(length(min = 1, max = 200))]
    token: String,
}

/// 202 whether or not the address has an account already. It is the account's once `/auth/verify` gets the token that is
/// mailed to it.
async fn ask(
    state: web::Data<State>,
    CountedClient(client): CountedClient,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(LoggedIn(viewer), JsonBody(body)): Authorized<LoggedIn, JsonBody<NewEmail>>,
) -> Result<Accepted<Message>, Problem> {
    let account = prove(&state, client, viewer.id, body.password, "/password").await?;
    let email = EmailAddress::parse(&body.email).map_err(bad_address)?;
    if email.canonical() == account.email.canonical() {
        let detail = "is the account's address already".to_owned();
        return Err(Problem::invalid(vec![FieldError { pointer: "/email".to_owned(), detail }]));
    }
    let (token, now) = (SecretToken::random(), now());
    let kept = mail_token(&token, TokenPurpose::EmailChange, VERIFICATION_LIFE);
    let locale = account.locale.as_ref().or(language.as_ref());
    let mail = state.mail_composer.envelope(email.clone(), &MailTemplate::NewEmail { token }, locale, now);
    if state.limits.may_mail(&email).await {
        match state.store.accounts.ask_for_email(viewer.id, &email, &kept, &mail, now).await? {
            EmailChange::Mailed => {
                tracing::info!(user_id = %viewer.id, mail_id = %mail.id, "Another address asked for");
            }
            EmailChange::Taken => notify_owner(&state, &email, locale, now).await?,
        }
        state.wake.notify_one();
    }
    Ok(check_your_email())
}

/// Gives the account of a token the address that the token was mailed to; `false` where it is not good.
pub(super) async fn confirm(state: &State, token: &SecretToken) -> Result<bool, Problem> {
    let (undo, now) = (SecretToken::random(), now());
    let kept = mail_token(&undo, TokenPurpose::EmailUndo, EMAIL_UNDO_LIFE);
    let mail = |before: &Account| {
        let template = MailTemplate::EmailChanged { name: before.name.clone(), token: undo.clone() };
        envelope(state, before, &template, None, now)
    };
    let changed = state.store.accounts.change_email(&token.hash(), &kept, mail, now).await?;
    if let Some(user) = changed {
        state.wake.notify_one();
        tracing::info!(user_id = %user, "Address changed");
    }
    Ok(changed.is_some())
}

async fn undo_by_token(
    state: web::Data<State>,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(_, JsonBody(body)): Authorized<CountedClient, JsonBody<Undo>>,
) -> Result<web::Json<Message>, Problem> {
    if !undo(&state, body.token, language.as_ref()).await? {
        return Err(Problem::bad_request("this token is not known, was used before, or is older than 7 days"));
    }
    Ok(web::Json(Message { message: "Your former address is restored: check your email for a link to a new password" }))
}

/// Gives the account of a token its former address back; `false` where the token is not good.
pub(super) async fn undo(state: &State, token: String, language: Option<&Locale>) -> Result<bool, Problem> {
    let (token, reset, now) = (SecretToken::from_text(token), SecretToken::random(), now());
    let kept = mail_token(&reset, TokenPurpose::Reset, RESET_LIFE);
    let mail = |account: &Account| {
        let template = MailTemplate::Reset { name: Some(account.name.clone()), token: reset.clone() };
        envelope(state, account, &template, language, now)
    };
    let unusable = state.passwords.unusable();
    let undone = state.store.accounts.undo_email(&token.hash(), unusable, &kept, mail, now).await?;
    if let Some(user) = undone {
        state.wake.notify_one();
        tracing::info!(user_id = %user, "Change of an address taken back");
    }
    Ok(undone.is_some())
}
