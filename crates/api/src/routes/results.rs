//! `/results`: for who sat the exam and who wrote it.

use actix_web::{
    Either, HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION},
    },
    web,
};
use bytes::Bytes;
use examhall_boot::traces;
use examhall_core::{Exam, ExamId, ExamResult, Mark, ResultId, ResultPolicy, Role, Statistics, Visibility};
use examhall_store::{Error, ResultRow, Store};
use futures_util::stream;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::json;
use uuid::Uuid;

use super::exams::cached_exam;
use crate::{
    cache_keys::{ResultKey, json_form::JsonForm},
    http::{
        csv,
        extract::{Id, LoggedIn},
        guards::OwnedExam,
        list::{Items, Paging},
        problem::Problem,
        respond::{self, Accepted, CacheAnswer, JsonBytes, Tagged},
    },
    loaders::load_result,
    mail::RESULT_PUBLISHED,
    openapi::{Answer, Description, Operation, get, post},
    state::{State, now},
    statistics::Basis,
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/results/{id}", "readResult", "Read a result", read),
        get("/exams/{id}/results", "listResults", "List results: all, or one's own", of_exam),
        get("/exams/{id}/results.csv", "exportResults", "Export all results", export),
        post("/exams/{id}/results/publish", "publishResults", "Mail each student", publish),
        get("/exams/{id}/statistics", "readStatistics", "See how an exam went", statistics),
    ]
}

/// A result with the points of each question.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct MarkedResult {
    #[serde(flatten)]
    result: ExamResult,
    /// Question by question, in the exam's order.
    marks: Vec<Mark>,
}

/// One more than that of the result alone: another body has another tag.
impl JsonForm for MarkedResult {
    const FORM: u32 = <ExamResult as JsonForm>::FORM + 1;
}

/// For the exam's author with the points of each question; for its student once the exam shows it, with those if the exam
/// says so.
async fn read(
    request: HttpRequest,
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ResultId>,
) -> Result<Either<CacheAnswer<ResultKey>, Tagged<MarkedResult>>, Problem> {
    let database = state.clone();
    let load = move || load_result(database.store.clone(), id);
    let (cached, source) = state.cache.get_or_load(&ResultKey(id), load).await?;
    let cached = cached.ok_or_else(Problem::not_found)?;
    let head = cached.head();
    let is_owner = head.author_id == viewer.id || viewer.role == Role::Admin;
    if head.user_id != viewer.id && !is_owner {
        return Err(Problem::forbidden("this result is another student's"));
    }
    let with_marks = is_owner || {
        let (exam, _) = cached_exam(&state, head.exam_id).await?;
        if !exam.head().shows_result(head.graded_at, now()) {
            return Err(not_shown(exam.head().results));
        }
        exam.head().show_marks
    };
    if with_marks {
        let (result, marks) = state.store.results.marks(id).await?;
        return Ok(Either::Right(Tagged { version: cached.version(), body: MarkedResult { result, marks } }));
    }
    Ok(Either::Left(respond::cached(&request, &cached, source)))
}

fn not_shown(policy: ResultPolicy) -> Problem {
    Problem::forbidden(match policy {
        ResultPolicy::OnClose => "results of this exam are shown once it is closed",
        ResultPolicy::OnPublish | ResultPolicy::OnSubmit => "results of this exam are shown once they are published",
    })
}

/// All of them for the author, for everybody else those of their own that the exam shows.
async fn of_exam(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ExamId>,
    Paging(page): Paging,
) -> Result<web::Json<Items<ExamResult>>, Problem> {
    let (access, now) = (state.store.exams.get(id).await?.value.access(), now());
    if access.sheet_for(viewer, now) == Visibility::Hidden {
        return Err(Problem::not_found());
    }
    let is_owner = access.is_owned_by(viewer);
    let mut listed = state.store.results.list(id, (!is_owner).then_some(viewer.id), page).await?;
    listed.items.retain(|result| is_owner || access.shows_result(result.graded_at, now));
    Ok(Items::of(listed))
}

/// How many mails were queued.
#[derive(Serialize, JsonSchema)]
struct Queued {
    queued: u64,
}

/// 200 with a file.
struct CsvFile(HttpResponse);

impl Responder for CsvFile {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.0
    }
}

impl Answer for CsvFile {
    fn describe(description: &mut Description) {
        description.content(StatusCode::OK, &["Content-Disposition"], "text/csv", json!({"type": "string"}));
    }
}

async fn publish(
    state: web::Data<State>,
    OwnedExam { viewer, exam: Exam { id, .. }, .. }: OwnedExam,
) -> Result<Accepted<Queued>, Problem> {
    let queued = state.store.results.publish(id, RESULT_PUBLISHED, traces::current(), viewer.id, now()).await?;
    state.wake.notify_one();
    tracing::info!(exam_id = %id, queued, "Results published");
    Ok(Accepted(Queued { queued }))
}

async fn statistics(
    state: web::Data<State>,
    OwnedExam { exam: Exam { id, .. }, version, .. }: OwnedExam,
) -> Result<JsonBytes<Statistics>, Problem> {
    let basis = Basis { version, results: state.store.results.count(id).await? };
    let store = state.store.clone();
    let compute = move || {
        let store = store.clone();
        async move { store.results.statistics(id).await }
    };
    let body = state.statistics.read(id, basis, compute).await?;
    Ok(JsonBytes::new(body))
}

/// All results as a file, sent as it is read: it may be longer than memory.
async fn export(
    state: web::Data<State>,
    OwnedExam { exam: Exam { id, .. }, .. }: OwnedExam,
) -> Result<CsvFile, Problem> {
    let rows = stream::try_unfold(Next::Heading, move |next| chunk(state.store.clone(), id, next));
    Ok(CsvFile(
        HttpResponse::Ok()
            .content_type("text/csv; charset=utf-8")
            .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"results-{id}.csv\"")))
            .insert_header((CACHE_CONTROL, "no-store"))
            .streaming(rows),
    ))
}

/// How far an export has come.
enum Next {
    Heading,
    After(Option<Uuid>),
    Done,
}

async fn chunk(store: Store, exam: ExamId, next: Next) -> Result<Option<(Bytes, Next)>, Error> {
    let after = match next {
        Next::Done => return Ok(None),
        Next::Heading => {
            let names = [
                "resultId",
                "userId",
                "name",
                "email",
                "score",
                "maxScore",
                "percent",
                "passed",
                "gradedAt",
                "attemptId",
                "marks",
            ];
            return Ok(Some(((csv::BOM.to_owned() + &csv::line(&names)).into(), Next::After(None))));
        }
        Next::After(after) => after,
    };
    let listed = store.results.export(exam, after).await.inspect_err(|error| {
        tracing::warn!(exam_id = %exam, %error, "Export broken off");
    })?;
    let lines: String = listed.items.iter().map(to_line).collect();
    let next = listed.next.map_or(Next::Done, |last| Next::After(Some(last)));
    Ok(Some((lines.into(), next)))
}

fn to_line(row: &ResultRow) -> String {
    let result = &row.result;
    let numbers = [result.score, result.max_score, result.percent].map(|number| number.to_string());
    let passed = if result.passed { "yes" } else { "no" };
    let (id, user) = (result.id.to_string(), result.user_id.to_string());
    let [score, max_score, percent] = &numbers;
    let graded_at = result.graded_at.to_string();
    let attempt = row.attempt_id.to_string();
    // In words: a spreadsheet would make a date of "1/2".
    let marks: Vec<_> = row.marks.iter().map(|mark| format!("{} of {}", mark.earned, mark.points)).collect();
    let marks = marks.join(" | ");
    csv::line(&[&id, &user, &row.name, &row.email, score, max_score, percent, passed, &graded_at, &attempt, &marks])
}
