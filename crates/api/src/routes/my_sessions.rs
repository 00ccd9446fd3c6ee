//! `/users/me/sessions`: where somebody is logged in, and an end to it.

use actix_web::web;
use examhall_core::{SessionId, Timestamp};
use examhall_store::{LiveSession, SessionKind};
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    http::{
        extract::{Id, InSession, LoggedIn},
        list::Items,
        problem::Problem,
        respond::NoContent,
    },
    openapi::{Operation, delete, get},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/users/me/sessions", "listSessions", "List one's own sessions, newest first", all),
        delete("/users/me/sessions", "endOtherSessions", "End all one's sessions but this one", end_others),
        delete("/users/me/sessions/{id}", "endSession", "End one of one's own sessions", end),
    ]
}

/// A session of one's own.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Session")]
struct SessionView {
    id: SessionId,
    kind: Kind,
    /// Whether this request is part of it.
    current: bool,
    created_at: Timestamp,
    /// When its tokens were last renewed.
    renewed_at: Timestamp,
    /// When it ends if nobody uses it.
    expires_at: Timestamp,
    /// The network that it was begun from: an IPv4 address, or the first half of an IPv6 one.
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
enum Kind {
    Api,
    Console,
}

async fn all(state: web::Data<State>, InSession(bearer): InSession) -> Result<web::Json<Items<SessionView>>, Problem> {
    let found = state.store.accounts.sessions(bearer.viewer.id, now()).await?;
    let view = |session: LiveSession| SessionView {
        id: SessionId(session.id),
        kind: match session.kind {
            SessionKind::Api => Kind::Api,
            SessionKind::Console => Kind::Console,
        },
        current: bearer.session == Some(session.id),
        created_at: session.began_at,
        renewed_at: session.renewed_at,
        expires_at: session.expires_at,
        network: session.network,
    };
    Ok(Items::new(found.into_iter().map(view).collect(), None))
}

async fn end_others(state: web::Data<State>, InSession(bearer): InSession) -> Result<NoContent, Problem> {
    let user = bearer.viewer.id;
    let count = state.store.accounts.end_other_sessions(user, bearer.session, now()).await?;
    tracing::info!(user_id = %user, count, "Other sessions ended");
    Ok(NoContent)
}

async fn end(state: web::Data<State>, LoggedIn(viewer): LoggedIn, Id(id): Id<SessionId>) -> Result<NoContent, Problem> {
    state.store.accounts.end_session_of(viewer.id, id.0, now()).await?;
    tracing::info!(user_id = %viewer.id, session_id = %id, "Session ended");
    Ok(NoContent)
}
