//! `/audit`: what operators, authors and administrators did, through the API and the console.

use actix_web::web;
use examhall_core::{ExamId, Timestamp, UserId};
use examhall_store::{AuditFilter, Listed, OperatorAction, Page};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use uuid::Uuid;

use crate::{
    access::{Allowed, may},
    http::{
        extract::Parameters,
        guards::OwnedExam,
        list::{Items, Paging},
        problem::Problem,
    },
    openapi::{Operation, get},
    state::State,
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/audit", "readAudit", "See what was done, newest first", read),
        get("/exams/{id}/audit", "readExamAudit", "See what was done to an exam, newest first", of_exam),
    ]
}

/// Which actions are wanted.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Wanted {
    /// Those done by this account.
    actor_id: Option<UserId>,
    /// Those done to this exam.
    exam_id: Option<ExamId>,
    /// Those done to this account.
    user_id: Option<UserId>,
    /// Those of this name.
    action: Option<String>,
}

/// What somebody did.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "AuditEntry")]
struct ActionView {
    #[schemars(with = "UserId")]
    id: Uuid,
    at: Timestamp,
    actor_id: UserId,
    /// Address of the account at that time.
    actor: String,
    /// Such as `retry`, `pause`, `change exam` or `set deadline`.
    action: String,
    /// What it was done to, in the words of a search; empty for all.
    filter: String,
    /// How many the filter matched.
    matched: u64,
    /// How many of them were changed.
    affected: u64,
    /// Why, if the actor said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The exam that it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    exam_id: Option<ExamId>,
    /// The account that it was done to.
    #[serde(skip_serializing_if = "Option::is_none")]
    user_id: Option<UserId>,
    /// What was changed, as it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>", extend("additionalProperties" = {}))]
    before: Option<Value>,
    /// What was changed, as it is after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Map<String, Value>", extend("additionalProperties" = {}))]
    after: Option<Value>,
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
            exam_id: one.exam_id,
            user_id: one.user_id,
            before: one.before,
            after: one.after,
        }
    }
}

async fn read(
    state: web::Data<State>,
    _: Allowed<may::ReadAudit>,
    Parameters(wanted): Parameters<Wanted>,
    Paging(page): Paging,
) -> Result<web::Json<Items<ActionView>>, Problem> {
    let Wanted { actor_id, exam_id, user_id, action } = wanted;
    list(&state, &AuditFilter { exam: exam_id, user: user_id, actor: actor_id, action }, page).await
}

async fn of_exam(
    state: web::Data<State>,
    owned: OwnedExam,
    Paging(page): Paging,
) -> Result<web::Json<Items<ActionView>>, Problem> {
    list(&state, &AuditFilter { exam: Some(owned.exam.id), ..AuditFilter::default() }, page).await
}

async fn list(state: &State, filter: &AuditFilter, page: Page) -> Result<web::Json<Items<ActionView>>, Problem> {
    let Listed { items, next } = state.store.audit.list(filter, page).await?;
    Ok(Items::of(Listed { items: items.into_iter().map(ActionView::from).collect(), next }))
}
