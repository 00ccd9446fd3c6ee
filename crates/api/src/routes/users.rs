//! `/users`: one's own account, and what everybody may know of another's.

use actix_web::{HttpRequest, web};
use examhall_core::{EmailAddress, Locale, Patch, Profile, Role, Timestamp, UserId};
use examhall_store::{Account, AccountChange, Versioned};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    cache_keys::{ProfileKey, json_form::JsonForm},
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::{Id, IfMatch, LoggedIn},
        problem::Problem,
        respond::{self, CacheAnswer, Tagged},
        text::is_name,
    },
    loaders::load_profile,
    openapi::{Operation, get, patch},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/users/me", "readMe", "Read one's own account", me),
        patch("/users/me", "changeMe", "Change one's own account", change),
        get("/users/{id}/profile", "readProfile", "Read a public profile", profile),
    ]
}

/// A change of one's own account.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "MeChange", example = json!({"name": "Ada Lovelace"}))]
struct Change {
    #[garde(length(chars, min = 1, max = Profile::MAX_NAME), inner(custom(is_name)))]
    name: Option<String>,
    /// Language of mails to the account; `null`: that of the browser, or English.
    #[garde(skip)]
    #[serde(default)]
    locale: Patch<Locale>,
    /// Whether results are mailed to the account.
    #[garde(skip)]
    result_mails: Option<bool>,
}

/// What somebody sees of their own account.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Me {
    id: UserId,
    email: EmailAddress,
    name: String,
    role: Role,
    /// Language of mails to the account.
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<Locale>,
    /// Whether results are mailed to the account.
    result_mails: bool,
    created_at: Timestamp,
}

impl JsonForm for Me {}

async fn me(state: web::Data<State>, LoggedIn(viewer): LoggedIn) -> Result<Tagged<Me>, Problem> {
    Ok(answer(state.store.accounts.get(viewer.id).await?))
}

async fn change(
    state: web::Data<State>,
    Authorized(LoggedIn(viewer), (versions, JsonBody(body))): Authorized<LoggedIn, (IfMatch, JsonBody<Change>)>,
) -> Result<Tagged<Me>, Problem> {
    let expected = if versions.takes_any() {
        None
    } else {
        versions.expected(state.store.accounts.get(viewer.id).await?.version)?
    };
    let Change { name, locale, result_mails } = body;
    if name.is_none() && locale == Patch::Keep && result_mails.is_none() {
        return Ok(answer(state.store.accounts.get(viewer.id).await?));
    }
    let change = AccountChange { name, locale, result_mails };
    Ok(answer(state.store.accounts.change(viewer.id, &change, expected, now()).await?))
}

async fn profile(
    request: HttpRequest,
    state: web::Data<State>,
    LoggedIn(_): LoggedIn,
    Id(id): Id<UserId>,
) -> Result<CacheAnswer<ProfileKey>, Problem> {
    let database = state.clone();
    let load = move || load_profile(database.store.clone(), id);
    let (cached, source) = state.cache.get_or_load(&ProfileKey(id), load).await?;
    let cached = cached.ok_or_else(Problem::not_found)?;
    Ok(respond::cached(&request, &cached, source))
}

fn answer(Versioned { version, value: account }: Versioned<Account>) -> Tagged<Me> {
    let Account { id, email, name, role, locale, result_mails, created_at, .. } = account;
    Tagged { version, body: Me { id, email, name, role, locale, result_mails, created_at } }
}
