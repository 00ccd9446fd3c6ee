//! `/auth`: log in, stay logged in, log out.

use std::time::Duration;

use actix_web::web;
use examhall_core::{AccountName, EmailAddress, Viewer};
use examhall_store::{Account, NextSession, Renewed, SessionKind};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::mailed::bad_address;
use crate::{
    auth::{ACCESS_TOKEN_LIFE, AccessTokens, Bearer, SecretToken},
    http::{
        authorized::Authorized,
        body::JsonBody,
        guards::{CountedClient, CountedSession},
        problem::Problem,
        respond::NoContent,
        text::is_account_name,
    },
    log_in::{Begun, authenticate, begin},
    openapi::{Operation, post},
    state::{State, now},
};

/// How long a refresh token can be used.
const SESSION_LIFE: Duration = Duration::from_hours(30 * 24);

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/auth/login", "logIn", "Log in", log_in),
        post("/auth/refresh", "refresh", "Stay logged in", refresh),
        post("/auth/logout", "logOut", "Log out", log_out),
    ]
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct LogIn {
    #[garde(custom(is_account_name))]
    #[schemars(with = "EmailAddress")]
    email: String,
    #[garde(length(bytes, max = 4096))] // in any Unicode form: what is stored is at most 1024 long
    password: String,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "RefreshToken")]
struct Refresh {
    #[garde(length(min = 1, max = 200))]
    refresh_token: String,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Tokens {
    access_token: String,
    refresh_token: String,
    /// Seconds that the access token is good for.
    expires_in: u64,
    #[schemars(extend("const" = "Bearer"))]
    token_type: &'static str,
}

async fn log_in(
    state: web::Data<State>,
    tokens: web::Data<AccessTokens>,
    Authorized(CountedClient(client), JsonBody(body)): Authorized<CountedClient, JsonBody<LogIn>>,
) -> Result<web::Json<Tokens>, Problem> {
    let name = AccountName::parse(&body.email).map_err(bad_address)?;
    let account = authenticate(&state, client, &name, body.password).await?;
    let Begun { id, token } = begin(&state, &account, client, SessionKind::Api, SESSION_LIFE).await?;
    answer(&tokens, &account, id, &token)
}

async fn refresh(
    state: web::Data<State>,
    tokens: web::Data<AccessTokens>,
    Authorized(_, JsonBody(body)): Authorized<CountedSession, JsonBody<Refresh>>,
) -> Result<web::Json<Tokens>, Problem> {
    let (old, new, now) = (SecretToken::from_text(body.refresh_token), SecretToken::random(), now());
    let next = NextSession { token_hash: new.hash(), expires_at: now.plus(SESSION_LIFE) };
    let renewed = state.store.accounts.rotate_session(&old.hash(), next, now).await?;
    let Renewed { account, session } =
        renewed.ok_or_else(|| Problem::unauthorized("this session is over: log in again"))?;
    answer(&tokens, &account, session, &new)
}

/// 204 whatever the token: a session that is not there is over too.
async fn log_out(
    state: web::Data<State>,
    Authorized(_, JsonBody(body)): Authorized<CountedSession, JsonBody<Refresh>>,
) -> Result<NoContent, Problem> {
    let token = SecretToken::from_text(body.refresh_token);
    state.store.accounts.end_session(&token.hash(), now()).await?;
    Ok(NoContent)
}

fn answer(
    tokens: &AccessTokens,
    account: &Account,
    session: Uuid,
    refresh: &SecretToken,
) -> Result<web::Json<Tokens>, Problem> {
    Ok(web::Json(Tokens {
        access_token: access_token(tokens, account, Some(session))?,
        refresh_token: refresh.as_str().to_owned(),
        expires_in: ACCESS_TOKEN_LIFE.as_secs(),
        token_type: "Bearer",
    }))
}

/// An access token of an account as it is, for a session.
pub(super) fn access_token(tokens: &AccessTokens, account: &Account, session: Option<Uuid>) -> Result<String, Problem> {
    let bearer = Bearer { viewer: Viewer { id: account.id, role: account.role }, session };
    tokens.issue(bearer, account.access_generation, now()).map_err(|error| Problem::internal(&error))
}
