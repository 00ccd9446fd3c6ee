//! `/auth`: sign up, prove the address, choose a new password. Nobody learns here which addresses have accounts.

use std::{
    net::IpAddr,
    time::{Duration, Instant},
};

use actix_web::web;
use examhall_core::{AccountName, BadPassword, EmailAddress, Locale, Profile, Role, check_password};
use examhall_store::{Account, NewAccount, SignedUp, TokenPurpose};
use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    mailed::{Message, bad_address, check_your_email, envelope, mail_token, notify_owner},
    my_email,
};
use crate::{
    auth::SecretToken,
    http::{
        authorized::Authorized,
        body::JsonBody,
        guards::CountedClient,
        language::AcceptedLanguage,
        problem::Problem,
        respond::Accepted,
        text::{is_account_name, is_address, is_name},
    },
    mail::{MailTemplate, RESET_LIFE, VERIFICATION_LIFE},
    openapi::{Operation, post},
    state::{State, now},
};

/// Whether an address has an account shows in a millisecond or two of work: the answer never comes sooner than this.
const FLOOR: Duration = Duration::from_millis(100);

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/auth/signup", "signUp", "Sign up; a mail proves the address", sign_up),
        post("/auth/verify", "verify", "Prove the address", verify),
        post("/auth/resend", "resend", "Send the verification mail again", resend),
        post("/auth/forgot", "forgot", "Ask for a new password", forgot),
        post("/auth/reset", "reset", "Choose a new password", reset),
    ]
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SignUp {
    #[garde(custom(is_address))]
    #[schemars(with = "EmailAddress")]
    email: String,
    #[garde(length(chars, min = 1, max = Profile::MAX_NAME), custom(is_name))]
    name: String,
    #[garde(custom(is_good_password(&self.email, &self.name)))]
    #[schemars(length(min = BadPassword::MIN_CHARS, max = BadPassword::MAX_BYTES))]
    password: String,
    /// Language of mails to the account; without it that of `Accept-Language`.
    #[garde(skip)]
    locale: Option<Locale>,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Verify {
    /// From the link in the mail.
    #[garde(length(min = 1, max = 200))]
    token: String,
    /// Becomes the account's password. To be asked for where somebody else may have signed up with the address, too.
    #[garde(inner(custom(is_good_password("", ""))))]
    #[schemars(length(min = BadPassword::MIN_CHARS, max = BadPassword::MAX_BYTES))]
    password: Option<String>,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Address")]
struct ByAddress {
    #[garde(custom(is_account_name))]
    #[schemars(with = "EmailAddress")]
    email: String,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Reset {
    /// From the link in the mail.
    #[garde(length(min = 1, max = 200))]
    token: String,
    #[garde(custom(is_good_password("", "")))]
    #[schemars(length(min = BadPassword::MIN_CHARS, max = BadPassword::MAX_BYTES))]
    password: String,
}

/// 202 whether or not the address has an account already: who signs up does not learn who else has.
///
/// Until the address is proven, the last sign-up counts, with the link in its own mail. One that may not be mailed leaves
/// the account without a password instead: otherwise the client that uses up the address's mails would be the last one to count.
async fn sign_up(
    state: web::Data<State>,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(CountedClient(client), JsonBody(body)): Authorized<CountedClient, JsonBody<SignUp>>,
) -> Result<Accepted<Message>, Problem> {
    let locale = body.locale.or(language);
    let email = EmailAddress::parse(&body.email).map_err(bad_address)?;
    let (token, now) = (SecretToken::random(), now());
    let account = NewAccount {
        email: email.clone(),
        name: body.name,
        password_hash: state.passwords.hash(client, body.password).await?,
        role: Role::Student,
        verified: false,
        locale: locale.clone(),
    };
    let answer_at = Instant::now() + FLOOR; // hashing takes its time in any case
    let kept = mail_token(&token, TokenPurpose::Verification, VERIFICATION_LIFE);
    let template = MailTemplate::Verification { token };
    let mail = state.mail_composer.envelope(email.clone(), &template, locale.as_ref(), now);
    let may_mail = state.limits.may_mail(&email).await;
    let unusable = (!may_mail).then(|| state.passwords.unusable());
    match state.store.accounts.sign_up(&account, &kept, &mail, unusable, now).await? {
        SignedUp::Created(id) => tracing::info!(user_id = %id, mail_id = %mail.id, "Signed up"),
        SignedUp::Replaced(id) => tracing::info!(user_id = %id, mail_id = %mail.id, "Signed up again"),
        SignedUp::Disarmed(id) => tracing::info!(user_id = %id, "Signed up again, too often to be mailed"),
        SignedUp::Taken if may_mail => notify_owner(&state, &email, locale.as_ref(), now).await?,
        SignedUp::Taken => {}
    }
    state.wake.notify_one();
    tokio::time::sleep_until(answer_at.into()).await;
    Ok(check_your_email())
}

async fn verify(
    state: web::Data<State>,
    Authorized(CountedClient(client), JsonBody(body)): Authorized<CountedClient, JsonBody<Verify>>,
) -> Result<web::Json<Message>, Problem> {
    if !confirm(&state, client, body.token, body.password).await? {
        return Err(Problem::bad_request(
            "this token is not known, was used or replaced before, or is older than 24 hours: sign up again to get a new one",
        ));
    }
    Ok(web::Json(Message { message: "Your address is confirmed" }))
}

/// Marks the address as proven that a token was mailed to; where the account has another one until now, it gets this one. A
/// password, which has been checked, becomes that of an account whose address was never proven; without one that of the last
/// sign-up counts. `false` where the token is not good.
pub(super) async fn confirm(
    state: &State,
    client: IpAddr,
    token: String,
    password: Option<String>,
) -> Result<bool, Problem> {
    let (token, now) = (SecretToken::from_text(token), now());
    if !state.store.accounts.is_good(&token.hash(), TokenPurpose::Verification, now).await? {
        return my_email::confirm(state, &token).await;
    }
    let password_hash = match password {
        None => None,
        Some(password) => Some(state.passwords.hash(client, password).await?),
    };
    Ok(state.store.accounts.verify(&token.hash(), password_hash.as_deref(), now).await?)
}

async fn resend(
    state: web::Data<State>,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(_, JsonBody(body)): Authorized<CountedClient, JsonBody<ByAddress>>,
) -> Result<Accepted<Message>, Problem> {
    send_token(&state, &body, language.as_ref(), TokenPurpose::Verification, VERIFICATION_LIFE).await
}

async fn forgot(
    state: web::Data<State>,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(_, JsonBody(body)): Authorized<CountedClient, JsonBody<ByAddress>>,
) -> Result<Accepted<Message>, Problem> {
    send_token(&state, &body, language.as_ref(), TokenPurpose::Reset, RESET_LIFE).await
}

async fn send_token(
    state: &State,
    body: &ByAddress,
    language: Option<&Locale>,
    purpose: TokenPurpose,
    life: Duration,
) -> Result<Accepted<Message>, Problem> {
    let answer_at = Instant::now() + FLOOR;
    let name = AccountName::parse(&body.email).map_err(bad_address)?;
    let (token, now) = (SecretToken::random(), now());
    let kept = mail_token(&token, purpose, life);
    let template = |account: &Account| {
        let token = token.clone();
        let template = match purpose {
            TokenPurpose::Reset => MailTemplate::Reset { name: account.verified.then(|| account.name.clone()), token },
            _ => MailTemplate::Verification { token },
        };
        envelope(state, account, &template, language, now)
    };
    let may_mail = state.limits.may_mail(name.address()).await;
    if may_mail && state.store.accounts.mail_token(&name, &kept, template, now).await? {
        state.wake.notify_one();
    }
    tokio::time::sleep_until(answer_at.into()).await;
    Ok(check_your_email())
}

async fn reset(
    state: web::Data<State>,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(CountedClient(client), JsonBody(body)): Authorized<CountedClient, JsonBody<Reset>>,
) -> Result<web::Json<Message>, Problem> {
    if !set_password(&state, client, body.token, body.password, language.as_ref()).await? {
        return Err(Problem::bad_request("this token is not known, was used before, or is older than one hour"));
    }
    Ok(web::Json(Message { message: "Your password is changed" }))
}

/// Ends all sessions of the token's owner and gives them this password, which has been checked; `false` where the token
/// is not good.
pub(super) async fn set_password(
    state: &State,
    client: IpAddr,
    token: String,
    password: String,
    language: Option<&Locale>,
) -> Result<bool, Problem> {
    let (token, now) = (SecretToken::from_text(token), now());
    if !state.store.accounts.is_good(&token.hash(), TokenPurpose::Reset, now).await? {
        return Ok(false); // before the password costs anything
    }
    let password_hash = state.passwords.hash(client, password).await?;
    let template = |account: &Account| {
        let template = MailTemplate::PasswordChanged { name: account.name.clone() };
        envelope(state, account, &template, language, now)
    };
    let user = state.store.accounts.reset_password(&token.hash(), &password_hash, template, now).await?;
    if let Some(user) = user {
        state.wake.notify_one();
        tracing::info!(user_id = %user, "Password reset");
    }
    Ok(user.is_some())
}

fn is_good_password(email: &str, name: &str) -> impl FnOnce(&str, &()) -> garde::Result {
    move |password, ()| check_password(password, email, name).map_err(garde::Error::new)
}
