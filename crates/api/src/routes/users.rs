//! `/users`: one's own account, and what everybody may know of another's.

use actix_web::{HttpRequest, HttpResponse, web};
use examhall_core::{EmailAddress, ProfileKey, Role, Timestamp, UserId};
use examhall_store::{Account, Versioned};
use garde::Validate;
use serde::{Deserialize, Serialize};

use crate::{
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::{Id, IfMatch, LoggedIn},
        problem::Problem,
        respond,
        text::is_name,
    },
    loaders::load_profile,
    state::{State, now},
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::resource("/users/me").route(web::get().to(me)).route(web::patch().to(change)))
        .service(web::resource("/users/{id}/profile").route(web::get().to(profile)));
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Change {
    #[garde(inner(length(chars, min = 1, max = 100), custom(is_name)))]
    name: Option<String>,
}

/// What somebody sees of their own account.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Me {
    id: UserId,
    email: EmailAddress,
    name: String,
    role: Role,
    created_at: Timestamp,
}

async fn me(state: web::Data<State>, LoggedIn(viewer): LoggedIn) -> Result<HttpResponse, Problem> {
    Ok(answer(state.store.accounts.get(viewer.id).await?))
}

async fn change(
    state: web::Data<State>,
    Authorized(LoggedIn(viewer), (versions, JsonBody(body))): Authorized<LoggedIn, (IfMatch, JsonBody<Change>)>,
) -> Result<HttpResponse, Problem> {
    let expected = if versions.takes_any() {
        None
    } else {
        versions.expected(state.store.accounts.get(viewer.id).await?.version)?
    };
    let Some(name) = body.name else { return Ok(answer(state.store.accounts.get(viewer.id).await?)) };
    let changed = state.store.accounts.rename(viewer.id, &name, expected, now()).await?;
    Ok(answer(changed))
}

async fn profile(
    request: HttpRequest,
    state: web::Data<State>,
    LoggedIn(_): LoggedIn,
    Id(id): Id<UserId>,
) -> Result<HttpResponse, Problem> {
    let database = state.clone();
    let load = move || load_profile(database.store.clone(), id);
    let (cached, source) = state.cache.get_or_load(&ProfileKey(id), load).await?;
    let cached = cached.ok_or_else(Problem::not_found)?;
    Ok(respond::cached(&request, &cached, source))
}

fn answer(Versioned { version, value: account }: Versioned<Account>) -> HttpResponse {
    let Account { id, email, name, role, created_at, .. } = account;
    respond::versioned(HttpResponse::Ok(), version, &Me { id, email, name, role, created_at })
}
