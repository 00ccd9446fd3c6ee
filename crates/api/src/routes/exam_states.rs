//! `/exams/{id}`: from draft to published to closed, and back.

use std::time::Duration;

use actix_web::web;
use examhall_core::{Exam, Patch, Timestamp};
use examhall_store::{Closed, Versioned};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exams::editor;
use crate::{
    cache_keys::json_form::JsonForm,
    http::{
        authorized::Authorized,
        body::OptionalBody,
        extract::IfMatch,
        guards::OwnedExam,
        problem::{FieldError, Problem},
        respond::Tagged,
    },
    openapi::{Operation, post},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/exams/{id}/publish", "publishExam", "Publish a draft", publish),
        post("/exams/{id}/close", "closeExam", "Close a published exam, and end its attempts", close),
        post("/exams/{id}/reopen", "reopenExam", "Publish a closed exam again", reopen),
    ]
}

/// How an exam is closed.
#[derive(Default, Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Closing {
    /// Seconds that open attempts still have, but no longer than they have without it.
    #[garde(range(max = Self::MAX_GRACE))]
    #[schemars(extend("default" = 0))]
    grace_seconds: Option<u32>,
}

impl Closing {
    /// Longest grace, in seconds: an hour.
    const MAX_GRACE: u32 = 3600;
}

/// How a closed exam is opened again.
#[derive(Default, Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Reopening {
    /// From then on nobody may start; `null`: never.
    #[garde(skip)]
    #[serde(default)]
    #[schemars(with = "Option<Timestamp>")]
    closes_at: Patch<Timestamp>,
}

/// An exam that was closed, and what becomes of its open attempts.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ClosedExam {
    #[serde(flatten)]
    exam: Exam,
    /// Attempts that were open, and end.
    open_attempts: u64,
    /// From then on they take no answers, and are submitted as they are.
    attempts_end_at: Timestamp,
}

/// As that of its exam.
impl JsonForm for ClosedExam {
    const FORM: u32 = <Exam as JsonForm>::FORM;
}

async fn publish(
    state: web::Data<State>,
    Authorized(owned, versions): Authorized<OwnedExam, IfMatch>,
) -> Result<Tagged<Exam>, Problem> {
    let changed = state.store.exams.publish(owned.exam.id, editor(&owned, &versions)?, now()).await?;
    Ok(Tagged { version: changed.version, body: changed.value })
}

async fn close(
    state: web::Data<State>,
    Authorized(owned, (versions, OptionalBody(body))): Authorized<OwnedExam, (IfMatch, OptionalBody<Closing>)>,
) -> Result<Tagged<ClosedExam>, Problem> {
    let grace = Duration::from_secs(body.grace_seconds.unwrap_or(0).into());
    let closed = state.store.exams.close(owned.exam.id, grace, editor(&owned, &versions)?, now()).await?;
    let Closed { exam: Versioned { version, value: exam }, open_attempts, attempts_end_at } = closed;
    tracing::info!(exam_id = %exam.id, open_attempts, "Exam closed");
    Ok(Tagged { version, body: ClosedExam { exam, open_attempts, attempts_end_at } })
}

async fn reopen(
    state: web::Data<State>,
    Authorized(owned, (versions, OptionalBody(body))): Authorized<OwnedExam, (IfMatch, OptionalBody<Reopening>)>,
) -> Result<Tagged<Exam>, Problem> {
    let now = now();
    if matches!(body.closes_at, Patch::Set(closes_at) if closes_at <= now) {
        let detail = "must be in the future".to_owned();
        return Err(Problem::invalid(vec![FieldError { pointer: "/closesAt".to_owned(), detail }]));
    }
    let changed = state.store.exams.reopen(owned.exam.id, body.closes_at, editor(&owned, &versions)?, now).await?;
    Ok(Tagged { version: changed.version, body: changed.value })
}
