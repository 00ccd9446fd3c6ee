//! `/auth`: sign up, prove the address, log in.

use std::time::Duration;

use actix_web::{HttpResponse, web};
use examhall_core::{EmailAddress, Role, Viewer};
use examhall_store::{Error, NewAccount, NewMailToken, NewSession, TokenPurpose};
use garde::Validate;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    auth::{ACCESS_TOKEN_LIFE, AccessTokens, SecretToken},
    http::{
        extract::JsonBody,
        problem::Problem,
        text::{is_address, is_one_line},
    },
    mail::{Letter, VERIFICATION_LIFE},
    state::{State, now},
};

/// How long a session can be refreshed.
const SESSION_LIFE: Duration = Duration::from_hours(30 * 24);

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::resource("/auth/signup").route(web::post().to(sign_up)))
        .service(web::resource("/auth/verify").route(web::post().to(verify)))
        .service(web::resource("/auth/login").route(web::post().to(log_in)));
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct SignUp {
    #[garde(custom(is_address))]
    email: String,
    #[garde(length(chars, min = 1, max = 100), custom(is_one_line))]
    name: String,
    #[garde(length(chars, min = 8), length(bytes, max = 1024))]
    password: String,
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Verify {
    #[garde(length(min = 1, max = 200))]
    token: String,
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct LogIn {
    #[garde(custom(is_address))]
    email: String,
    #[garde(length(bytes, max = 1024))]
    password: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    access_token: String,
    refresh_token: String,
    /// Seconds that the access token is good for.
    expires_in: u64,
    token_type: &'static str,
}

/// 202 whether or not the address has an account already: who signs up does not learn who else has.
async fn sign_up(state: web::Data<State>, JsonBody(body): JsonBody<SignUp>) -> Result<HttpResponse, Problem> {
    let email = parse_address(&body.email)?;
    let token = SecretToken::random();
    let now = now();
    let account = NewAccount {
        email: email.clone(),
        name: body.name.clone(),
        password_hash: state.passwords.hash(body.password).await?,
        role: Role::Student,
        verified: false,
    };
    let kept = NewMailToken {
        hash: token.hash(),
        purpose: TokenPurpose::Verification,
        expires_at: now.plus(VERIFICATION_LIFE),
    };
    let letter = Letter::Verification { name: body.name.clone(), token };
    let mail = state.mailroom.envelope(email.clone(), &letter, now);
    match state.store.accounts.sign_up(&account, &kept, &mail, now).await {
        Ok(id) => tracing::info!(user_id = %id, mail_id = %mail.id, "Signed up"),
        Err(Error::EmailTaken) => {
            let mail = state.mailroom.envelope(email, &Letter::AlreadyRegistered { name: body.name }, now);
            state.store.outbox.add(&mail, now).await?;
        }
        Err(other) => return Err(other.into()),
    }
    state.nudge.notify_one();
    Ok(HttpResponse::Accepted().json(json!({"message": "Check your email"})))
}

async fn verify(state: web::Data<State>, JsonBody(body): JsonBody<Verify>) -> Result<HttpResponse, Problem> {
    let token = SecretToken::from_text(body.token);
    if !state.store.accounts.verify(&token.hash(), now()).await? {
        return Err(Problem::bad_request("this token is not known, was used before, or is older than 24 hours"));
    }
    Ok(HttpResponse::Ok().json(json!({"message": "Your address is confirmed"})))
}

async fn log_in(
    state: web::Data<State>,
    tokens: web::Data<AccessTokens>,
    JsonBody(body): JsonBody<LogIn>,
) -> Result<HttpResponse, Problem> {
    let account = state.store.accounts.by_email(&parse_address(&body.email)?).await?;
    let phc = account.as_ref().map(|account| account.password_hash.clone());
    let is_right = state.passwords.verify(body.password, phc).await?;
    let account = account
        .filter(|_| is_right)
        .ok_or_else(|| Problem::unauthorized("no account has this address and this password"))?;
    if !account.verified {
        return Err(Problem::forbidden("confirm your e-mail address first: we sent you a link"));
    }
    let (refresh_token, now) = (SecretToken::random(), now());
    let session = NewSession { user: account.id, token_hash: refresh_token.hash(), expires_at: now.plus(SESSION_LIFE) };
    state.store.accounts.begin_session(&session, now).await?;
    let viewer = Viewer { id: account.id, role: account.role };
    Ok(HttpResponse::Ok().json(Tokens {
        access_token: tokens.issue(viewer, now).map_err(|error| Problem::internal(&error))?,
        refresh_token: refresh_token.as_str().to_owned(),
        expires_in: ACCESS_TOKEN_LIFE.as_secs(),
        token_type: "Bearer",
    }))
}

/// The address of a body that has been checked.
fn parse_address(checked: &str) -> Result<EmailAddress, Problem> {
    EmailAddress::parse(checked).map_err(|error| Problem::internal(&error))
}
