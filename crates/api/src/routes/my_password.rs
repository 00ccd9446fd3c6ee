//! `/users/me/password`: another password for somebody who knows the one before.

use actix_web::web;
use examhall_core::{BadPassword, check_password};
use examhall_store::PasswordChange;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::sessions::access_token;
use crate::{
    auth::{ACCESS_TOKEN_LIFE, AccessTokens},
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::InSession,
        guards::CountedClient,
        language::AcceptedLanguage,
        problem::{FieldError, Problem},
    },
    log_in::prove,
    mail::MailTemplate,
    openapi::{Operation, post},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![post("/users/me/password", "changePassword", "Change one's password, and end all other sessions", change)]
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct PasswordForm {
    #[garde(length(bytes, max = 4096))] // in any Unicode form, as at a login
    current_password: String,
    #[garde(skip)] // checked once the account is known
    #[schemars(length(min = BadPassword::MIN_CHARS, max = BadPassword::MAX_BYTES))]
    new_password: String,
}

/// The session goes on with this access token, and with the refresh token that it has.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AccessToken")]
struct Renewed {
    access_token: String,
    /// Seconds that the access token is good for.
    expires_in: u64,
    #[schemars(extend("const" = "Bearer"))]
    token_type: &'static str,
}

/// All access tokens of before are refused within 2 s, also the one of this request: the answer has another one.
async fn change(
    state: web::Data<State>,
    tokens: web::Data<AccessTokens>,
    CountedClient(client): CountedClient,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(InSession(bearer), JsonBody(body)): Authorized<InSession, JsonBody<PasswordForm>>,
) -> Result<web::Json<Renewed>, Problem> {
    let PasswordForm { current_password, new_password } = body;
    let account = prove(&state, client, bearer.viewer.id, current_password, "/currentPassword").await?;
    check_password(&new_password, account.email.as_str(), &account.name).map_err(|bad| {
        Problem::invalid(vec![FieldError { pointer: "/newPassword".to_owned(), detail: bad.to_string() }])
    })?;
    let change = PasswordChange {
        user: account.id,
        old_hash: account.password_hash,
        new_hash: state.passwords.hash(client, new_password).await?,
        kept: bearer.session,
    };
    let now = now();
    let mail = |account: &examhall_store::Account| {
        let template = MailTemplate::PasswordChanged { name: account.name.clone() };
        state.mail_composer.envelope(
            account.email.clone(),
            &template,
            account.locale.as_ref().or(language.as_ref()),
            now,
        )
    };
    let account = state.store.accounts.change_password(&change, mail, now).await?;
    state.wake.notify_one();
    tracing::info!(user_id = %account.id, "Password changed");
    Ok(web::Json(Renewed {
        access_token: access_token(&tokens, &account, bearer.session)?,
        expires_in: ACCESS_TOKEN_LIFE.as_secs(),
        token_type: "Bearer",
    }))
}
