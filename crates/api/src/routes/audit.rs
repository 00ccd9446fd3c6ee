//! `/audit`: what operators did, through the API and the console.

use actix_web::web;
use examhall_core::{Timestamp, UserId};
use examhall_store::{Listed, OperatorAction};
use schemars::JsonSchema;
use serde::Serialize;
use uuid::Uuid;

use crate::{
    access::{Allowed, may},
    http::{
        list::{Items, Paging},
        problem::Problem,
    },
    openapi::{Operation, get},
    state::State,
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![get("/audit", "readAudit", "See what operators did, newest first", read)]
}

/// What an operator did.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "OperatorAction")]
struct ActionView {
    #[schemars(with = "UserId")]
    id: Uuid,
    at: Timestamp,
    actor_id: UserId,
    /// Address of the account at that time.
    actor: String,
    /// Such as `retry`, `pause` or `suppress`.
    action: String,
    /// What it was done to, in the words of a search; empty for all.
    filter: String,
    /// How many the filter matched.
    matched: u64,
    /// How many of them were changed.
    affected: u64,
    /// Why, if the operator said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl From<OperatorAction> for ActionView {
    fn from(one: OperatorAction) -> Self {
        Self {
            id: one.id,
            at: one.at,
            actor_id: one.actor_id,
            actor: one.actor,
            action: one.action,
            filter: one.filter,
            matched: one.matched,
            affected: one.affected,
            reason: one.reason,
        }
    }
}

async fn read(
    state: web::Data<State>,
    _: Allowed<may::ReadAudit>,
    Paging(page): Paging,
) -> Result<web::Json<Items<ActionView>>, Problem> {
    let Listed { items, next } = state.store.audit.list(page).await?;
    Ok(Items::of(Listed { items: items.into_iter().map(ActionView::from).collect(), next }))
}
