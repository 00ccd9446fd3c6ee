//! Attempts as an exam's author sees them: who sits it, with a deadline that the author may move.

use std::time::Duration;

use actix_web::web;
use examhall_core::{Attempt, AttemptState, Exam, ExamId, ResultId, Timestamp, Visibility};
use examhall_store::{AttemptFilter, AttemptRow, AttemptSort, Listed, Position, SortedPage};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    http::{
        authorized::Authorized,
        body::JsonBody,
        csv,
        csv_file::CsvFile,
        extract::{Id, LoggedIn, Parameters},
        guards::{ExaminedAttempt, OwnedExam},
        list::{Items, SearchText, SortOrder, SortedPaging},
        problem::{FieldError, Problem},
        text::is_one_line,
    },
    openapi::{Operation, get, put},
    state::{State, now},
};

/// How far from now a deadline may be moved: twice the longest exam.
const MAX_AHEAD: Duration = Duration::from_secs(2 * 60 * Exam::MAX_MINUTES as u64);

/// Attempts that are read at a time where all are exported.
const CHUNK: u64 = 500;

/// Columns of the file.
const COLUMNS: &[&str] =
    &["attemptId", "userId", "name", "email", "state", "startedAt", "deadline", "savedAt", "submittedAt", "resultId"];

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/exams/{id}/attempts", "listAttempts", "List attempts: all, or one's own", list),
        get("/exams/{id}/attempts.csv", "exportAttempts", "Export all attempts", export),
        put("/attempts/{id}/deadline", "setDeadline", "Move the deadline of an open attempt", set_deadline),
    ]
}

#[derive(Deserialize, JsonSchema)]
struct Wanted {
    /// Those that are open, or those that are submitted.
    state: Option<AttemptState>,
    /// Those of students whose name or address contains this, in any case.
    q: Option<SearchText>,
}

/// Which attempts a file has, and in what order.
#[derive(Deserialize, JsonSchema)]
struct WantedFile {
    /// Those that are open, or those that are submitted.
    state: Option<AttemptState>,
    /// Those of students whose name or address contains this, in any case.
    q: Option<SearchText>,
    /// What the file is sorted by; `-` before it: the highest first.
    sort: Option<AttemptOrder>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(inline)]
enum AttemptOrder {
    #[default]
    #[serde(rename = "startedAt")]
    Oldest,
    #[serde(rename = "-startedAt")]
    Newest,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDown,
    #[serde(rename = "deadline")]
    EndsFirst,
    #[serde(rename = "-deadline")]
    EndsLast,
}

impl SortOrder for AttemptOrder {
    type Sort = AttemptSort;

    fn parts(self) -> (AttemptSort, bool) {
        match self {
            Self::Oldest => (AttemptSort::Started, false),
            Self::Newest => (AttemptSort::Started, true),
            Self::Name => (AttemptSort::Name, false),
            Self::NameDown => (AttemptSort::Name, true),
            Self::EndsFirst => (AttemptSort::Deadline, false),
            Self::EndsLast => (AttemptSort::Deadline, true),
        }
    }
}

/// An attempt in a list. Who sits it is shown to the exam's author.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListedAttempt {
    #[serde(flatten)]
    attempt: Attempt,
    state: AttemptState,
    /// When answers were last saved.
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_at: Option<Timestamp>,
    /// The result of what is submitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    result_id: Option<ResultId>,
    /// The student's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The student's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

/// Another deadline of an open attempt.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({"deadline": "2026-11-23T11:00:00.000Z", "reason": "the fire alarm"}))]
struct NewDeadline {
    /// Not in the past, and within two weeks.
    #[garde(skip)]
    deadline: Timestamp,
    /// For the record.
    #[garde(length(chars, max = 500), inner(custom(is_one_line)))]
    reason: Option<String>,
}

/// All of them for the author, for everybody else their own.
async fn list(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ExamId>,
    Parameters(Wanted { state: wanted, q }): Parameters<Wanted>,
    SortedPaging(page): SortedPaging<AttemptOrder>,
) -> Result<web::Json<Items<ListedAttempt>>, Problem> {
    let access = state.store.exams.get(id).await?.value.access();
    if access.sheet_for(viewer, now()) == Visibility::Hidden {
        return Err(Problem::not_found());
    }
    let is_owner = access.is_owned_by(viewer);
    let filter = AttemptFilter {
        user: (!is_owner).then_some(viewer.id),
        is_open: wanted.map(|state| state == AttemptState::Open),
        text: q.map(|SearchText(text)| text),
    };
    let Listed { items, next } = state.store.attempts.list(id, &filter, &page).await?;
    let items = items.into_iter().map(|row| ListedAttempt::of(row, is_owner)).collect();
    Ok(Items::sorted(Listed { items, next }))
}

/// All attempts as a file, sent as it is read.
async fn export(
    state: web::Data<State>,
    OwnedExam { exam: Exam { id, .. }, .. }: OwnedExam,
    Parameters(WantedFile { state: wanted, q, sort }): Parameters<WantedFile>,
) -> Result<CsvFile, Problem> {
    let (sort, is_descending) = sort.unwrap_or_default().parts();
    let filter = AttemptFilter {
        user: None,
        is_open: wanted.map(|state| state == AttemptState::Open),
        text: q.map(|SearchText(text)| text),
    };
    let chunk = move |after: Option<Position>| {
        let (store, filter) = (state.store.clone(), filter.clone());
        async move {
            let page = SortedPage { sort, is_descending, limit: CHUNK, after };
            let listed = store.attempts.list(id, &filter, &page).await?;
            Ok((listed.items.iter().map(to_line).collect(), listed.next))
        }
    };
    Ok(CsvFile::streaming(&format!("attempts-{id}.csv"), COLUMNS, chunk))
}

fn to_line(row: &AttemptRow) -> String {
    let AttemptRow { attempt, saved_at, result, name, email } = row;
    let (id, user) = (attempt.id.to_string(), attempt.user_id.to_string());
    let state = if attempt.state() == AttemptState::Open { "open" } else { "submitted" };
    let [started_at, deadline] = [attempt.started_at, attempt.deadline].map(|at| at.to_string());
    let [saved_at, submitted_at] =
        [*saved_at, attempt.submitted_at].map(|at| at.map(|at| at.to_string()).unwrap_or_default());
    let result = result.map(|result| result.to_string()).unwrap_or_default();
    csv::line(&[&id, &user, name, email, state, &started_at, &deadline, &saved_at, &submitted_at, &result])
}

async fn set_deadline(
    state: web::Data<State>,
    Authorized(examined, JsonBody(body)): Authorized<ExaminedAttempt, JsonBody<NewDeadline>>,
) -> Result<web::Json<ListedAttempt>, Problem> {
    let (now, NewDeadline { deadline, reason }) = (now(), body);
    if deadline < now || deadline > now.plus(MAX_AHEAD) {
        let detail = "must not be in the past, nor more than two weeks ahead".to_owned();
        return Err(Problem::invalid(vec![FieldError { pointer: "/deadline".to_owned(), detail }]));
    }
    let ExaminedAttempt { viewer, attempt } = examined;
    let attempt = state.store.attempts.set_deadline(attempt.id, deadline, viewer.id, reason.as_deref(), now).await?;
    state.sitters.forget(attempt.exam_id, attempt.user_id);
    tracing::info!(attempt_id = %attempt.id, "Deadline moved");
    let state = attempt.state();
    Ok(web::Json(ListedAttempt { attempt, state, saved_at: None, result_id: None, name: None, email: None }))
}

impl ListedAttempt {
    fn of(row: AttemptRow, for_owner: bool) -> Self {
        let AttemptRow { attempt, saved_at, result, name, email } = row;
        let [name, email] = [name, email].map(|text| for_owner.then_some(text));
        let state = attempt.state();
        Self { attempt, state, saved_at, result_id: result.filter(|_| for_owner), name, email }
    }
}
