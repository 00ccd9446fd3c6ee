//! `/exams/{id}/regrade`: grading again after a key was changed, and what results were before.

use actix_web::{Either, web};
use examhall_core::{ExamId, Mark, RegradeCounts, RegradeId, ResultId, Timestamp, UserId};
use examhall_store::{ChangedResult, FormerResult, Listed, Regrade};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{exams::editor, results::shown_result};
use crate::{
    cache_keys::json_form::JsonForm,
    http::{
        authorized::Authorized,
        extract::{Id, IfMatch, LoggedIn, Parameters},
        guards::OwnedExam,
        list::{Items, Paging},
        problem::Problem,
        respond::{Accepted, Tagged},
    },
    openapi::{Operation, get, post},
    regrading::preview,
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/exams/{id}/regrade", "regradeExam", "Grade all results again", regrade),
        get("/exams/{id}/regrade", "readRegrade", "See how far grading again has come", read),
        get("/results/{id}/history", "readResultHistory", "List what a result was before", history),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Asking {
    /// Changes nothing: only answers what would change.
    #[serde(default)]
    dry_run: bool,
}

/// What grading again would change.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RegradePlan {
    exam_id: ExamId,
    /// The exam's version whose key counts: `If-Match` with it grades with this key or not at all.
    version: i64,
    results: u64,
    #[serde(flatten)]
    counts: RegradeCounts,
    /// The first 20 results that change.
    examples: Vec<RegradedResult>,
}

impl JsonForm for RegradePlan {}

/// A result that changes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct RegradedResult {
    result_id: ResultId,
    user_id: UserId,
    name: String,
    before: Points,
    after: Points,
}

/// What a student earned.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ResultPoints")]
struct Points {
    score: f64,
    max_score: f64,
    /// `score` of `maxScore`, 0 to 100.
    percent: f64,
    passed: bool,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "RegradeState")]
enum Progress {
    Running,
    Done,
}

/// How far the results of an exam are graded again.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Regrade")]
struct RegradeStatus {
    id: RegradeId,
    exam_id: ExamId,
    state: Progress,
    /// The exam's version whose key counts. If the exam is changed meanwhile, all is graded with its new key.
    version: i64,
    /// Results that there were when it was begun.
    results: u64,
    /// Results that were graded with this key.
    graded: u64,
    #[serde(flatten)]
    counts: RegradeCounts,
    started_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    finished_at: Option<Timestamp>,
}

/// What a result was until it was graded again.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "FormerResult")]
struct Former {
    #[serde(flatten)]
    points: Points,
    /// Question by question; for those who see the marks of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    marks: Option<Vec<Mark>>,
    graded_at: Timestamp,
    replaced_at: Timestamp,
    regrade_id: RegradeId,
}

async fn regrade(
    state: web::Data<State>,
    Authorized(owned, (versions, Parameters(asking))): Authorized<OwnedExam, (IfMatch, Parameters<Asking>)>,
) -> Result<Either<Tagged<RegradePlan>, Accepted<RegradeStatus>>, Problem> {
    let (id, editor) = (owned.exam.id, editor(&owned, &versions)?);
    if asking.dry_run {
        let (paper, preview) = preview(&state, id, owned.version).await?;
        let examples = preview.examples.into_iter().map(RegradedResult::from).collect();
        let (version, results, counts) = (paper.version, preview.results, preview.counts);
        let body = RegradePlan { exam_id: id, version, results, counts, examples };
        return Ok(Either::Left(Tagged { version, body }));
    }
    let begun = state.store.regrades.begin(id, editor, now()).await?;
    state.regrade.notify_one();
    tracing::info!(exam_id = %id, results = begun.total, "Results are graded again");
    Ok(Either::Right(Accepted(begun.into())))
}

async fn read(state: web::Data<State>, owned: OwnedExam) -> Result<web::Json<RegradeStatus>, Problem> {
    Ok(web::Json(state.store.regrades.last(owned.exam.id).await?.into()))
}

/// For those who may read the result.
async fn history(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ResultId>,
    Paging(page): Paging,
) -> Result<web::Json<Items<Former>>, Problem> {
    let shown = shown_result(&state, id, viewer).await?;
    let Listed { items, next } = state.store.regrades.former(id, page).await?;
    let items = items.into_iter().map(|former| Former::new(former, shown.with_marks)).collect();
    Ok(Items::of(Listed { items, next }))
}

impl Former {
    fn new(former: FormerResult, with_marks: bool) -> Self {
        let FormerResult { regrade_id, score, max_score, percent, passed, marks, graded_at, replaced_at, .. } = former;
        let points = Points { score, max_score, percent, passed };
        Self { points, marks: with_marks.then_some(marks), graded_at, replaced_at, regrade_id }
    }
}

impl From<ChangedResult> for RegradedResult {
    fn from(ChangedResult { name, before, after }: ChangedResult) -> Self {
        let [before_points, after] = [&before, &after].map(|result| Points {
            score: result.score,
            max_score: result.max_score,
            percent: result.percent,
            passed: result.passed,
        });
        Self { result_id: before.id, user_id: before.user_id, name, before: before_points, after }
    }
}

impl From<Regrade> for RegradeStatus {
    fn from(regrade: Regrade) -> Self {
        let Regrade { id, exam_id, exam_version, total, graded, counts, created_at, finished_at } = regrade;
        Self {
            id,
            exam_id,
            state: if finished_at.is_some() { Progress::Done } else { Progress::Running },
            version: exam_version,
            results: total,
            graded,
            counts,
            started_at: created_at,
            finished_at,
        }
    }
}
