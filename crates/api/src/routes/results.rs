//! `/results`: for who sat the exam and who wrote it.

use actix_web::{Either, HttpRequest, web};
use examhall_boot::traces;
use examhall_cache::{Cached, Source};
use examhall_core::{Exam, ExamId, ExamResult, Mark, ResultId, ResultPolicy, Role, Statistics, Viewer, Visibility};
use examhall_store::{Listed, NamedResult, ResultFilter, ResultRow, ResultSort, Versioned};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::exams::cached_exam;
use crate::{
    cache_keys::{ResultKey, json_form::JsonForm},
    http::{
        csv,
        csv_file::CsvFile,
        extract::{Id, LoggedIn, Parameters},
        guards::OwnedExam,
        list::{Items, SearchText, SortOrder, SortedPaging},
        problem::Problem,
        respond::{self, Accepted, CacheAnswer, JsonBytes, Tagged},
    },
    loaders::load_result,
    mail::RESULT_PUBLISHED,
    openapi::{Operation, get, post},
    state::{State, now},
    statistics::Basis,
};

/// Columns of the file.
const COLUMNS: &[&str] = &[
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

/// A result that its reader may see.
pub(super) struct ShownResult {
    cached: Cached<ResultKey>,
    source: Source,
    /// Whether they see the points of each question.
    pub(super) with_marks: bool,
}

/// For the exam's author with the points of each question; for its student once the exam shows it, with those if the exam
/// says so.
pub(super) async fn shown_result(
    state: &web::Data<State>,
    id: ResultId,
    viewer: Viewer,
) -> Result<ShownResult, Problem> {
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
        let (exam, _) = cached_exam(state, head.exam_id).await?;
        if !exam.head().shows_result(head.graded_at, now()) {
            return Err(not_shown(exam.head().results));
        }
        exam.head().show_marks
    };
    Ok(ShownResult { cached, source, with_marks })
}

async fn read(
    request: HttpRequest,
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ResultId>,
) -> Result<Either<CacheAnswer<ResultKey>, Tagged<MarkedResult>>, Problem> {
    let ShownResult { cached, source, with_marks } = shown_result(&state, id, viewer).await?;
    if with_marks {
        let Versioned { version, value: (result, marks) } = state.store.results.marks(id).await?;
        return Ok(Either::Right(Tagged { version, body: MarkedResult { result, marks } }));
    }
    Ok(Either::Left(respond::cached(&request, &cached, source)))
}

fn not_shown(policy: ResultPolicy) -> Problem {
    Problem::forbidden(match policy {
        ResultPolicy::OnClose => "results of this exam are shown once it is closed",
        ResultPolicy::OnPublish | ResultPolicy::OnSubmit => "results of this exam are shown once they are published",
    })
}

/// A result in a list. Whose it is, is shown to the exam's author.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct ListedResult {
    #[serde(flatten)]
    result: ExamResult,
    /// The student's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    /// The student's address.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
}

/// Which results are wanted.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    /// Those of students whose name or address contains this, in any case.
    q: Option<SearchText>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(inline)]
enum ResultOrder {
    #[default]
    #[serde(rename = "gradedAt")]
    Oldest,
    #[serde(rename = "-gradedAt")]
    Newest,
    #[serde(rename = "name")]
    Name,
    #[serde(rename = "-name")]
    NameDown,
    #[serde(rename = "score")]
    Lowest,
    #[serde(rename = "-score")]
    Highest,
}

impl SortOrder for ResultOrder {
    type Sort = ResultSort;

    fn parts(self) -> (ResultSort, bool) {
        match self {
            Self::Oldest => (ResultSort::Graded, false),
            Self::Newest => (ResultSort::Graded, true),
            Self::Name => (ResultSort::Name, false),
            Self::NameDown => (ResultSort::Name, true),
            Self::Lowest => (ResultSort::Score, false),
            Self::Highest => (ResultSort::Score, true),
        }
    }
}

/// All of them for the author, for everybody else those of their own that the exam shows.
async fn of_exam(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ExamId>,
    Parameters(Wanted { q }): Parameters<Wanted>,
    SortedPaging(page): SortedPaging<ResultOrder>,
) -> Result<web::Json<Items<ListedResult>>, Problem> {
    let (access, now) = (state.store.exams.get(id).await?.value.access(), now());
    if access.sheet_for(viewer, now) == Visibility::Hidden {
        return Err(Problem::not_found());
    }
    let is_owner = access.is_owned_by(viewer);
    let filter = ResultFilter { user: (!is_owner).then_some(viewer.id), text: q.map(|SearchText(text)| text) };
    let Listed { mut items, next } = state.store.results.list(id, &filter, &page).await?;
    items.retain(|row| is_owner || access.shows_result(row.result.graded_at, now));
    let listed = |NamedResult { result, name, email }| {
        let [name, email] = [name, email].map(|text| is_owner.then_some(text));
        ListedResult { result, name, email }
    };
    Ok(Items::sorted(Listed { items: items.into_iter().map(listed).collect(), next }))
}

/// How many mails were queued.
#[derive(Serialize, JsonSchema)]
struct Queued {
    queued: u64,
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
    // The changes first: a result that is changed in between makes another basis next time.
    let changes = state.store.results.changes(id).await?;
    let basis = Basis { version, results: state.store.results.count(id).await?, changes };
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
    let chunk = move |after| {
        let store = state.store.clone();
        async move {
            let listed = store.results.export(id, after).await?;
            Ok((listed.items.iter().map(to_line).collect(), listed.next))
        }
    };
    Ok(CsvFile::streaming(&format!("results-{id}.csv"), COLUMNS, chunk))
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
