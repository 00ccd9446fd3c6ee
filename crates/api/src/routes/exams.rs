//! `/exams`: written by authors, read by all.

use std::collections::HashSet;

use actix_web::{FromRequest, HttpRequest, web};
use examhall_cache::{Cached, Source};
use examhall_core::{
    Admission, Exam, ExamId, ExamStatus, PaperPolicy, Patch, ResultPolicy, Role, Timestamp, UserId, Visibility,
};
use examhall_store::{Editor, Error, ExamChange, ExamFilter, ExamSort, IdempotentRequest, Listed, NewExam};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    cache_keys::ExamKey,
    http::{
        authorized::Authorized,
        body::JsonBody,
        client::Client,
        extract::{Id, IfMatch, LoggedIn, Parameters},
        guards::{Author, OwnedExam},
        idempotency::IdempotencyKey,
        list::{Items, SearchText, SortOrder, SortedPaging},
        problem::Problem,
        respond::{self, CacheAnswer, CreatedTagged, NoContent, Tagged},
        text::{has_no_nul, is_one_line},
    },
    loaders::load_exam,
    openapi::{Operation, delete, get, patch, post},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/exams", "createExam", "Draft an exam", create),
        get("/exams", "listExams", "List exams, newest first unless sorted otherwise", all),
        get("/exams/{id}", "readExam", "Read an exam", read),
        patch("/exams/{id}", "changeExam", "Change an exam", change),
        delete("/exams/{id}", "deleteExam", "Delete an exam that nobody began", remove),
    ]
}

/// A new exam.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewExam", example = json!({
    "title": "Algebra",
    "description": "Sums and products",
    "durationMinutes": 90,
    "opensAt": "2026-11-23T09:00:00.000Z",
}))]
pub(super) struct Creation {
    #[garde(length(chars, min = 1, max = Exam::MAX_TITLE), custom(is_one_line))]
    title: String,
    #[garde(length(chars, max = Exam::MAX_DESCRIPTION), custom(has_no_nul))]
    description: String,
    /// Time that a student has.
    #[garde(range(min = 1, max = Exam::MAX_MINUTES))]
    duration_minutes: u32,
    /// How often a student may sit it.
    #[garde(range(min = 1, max = Exam::MAX_ATTEMPTS))]
    #[schemars(extend("default" = Self::ATTEMPTS))]
    max_attempts: Option<u32>,
    /// Percentage of the points from which it is passed.
    #[garde(range(max = Exam::MAX_PASS_MARK))]
    #[schemars(extend("default" = Self::PASS_MARK))]
    pass_mark: Option<u8>,
    /// From then on students may start; at any time where absent.
    #[garde(skip)]
    opens_at: Option<Timestamp>,
    /// From then on nobody may start; never where absent.
    #[garde(skip)]
    closes_at: Option<Timestamp>,
    /// Whether each attempt has an order of its own.
    #[garde(skip)]
    #[serde(default)]
    shuffle: bool,
    /// When students may read the questions.
    #[garde(skip)]
    #[schemars(extend("default" = "afterStart"))]
    paper: Option<PaperPolicy>,
    /// When students see their results: `onClose` where this is absent and they have more than one attempt, else `onSubmit`.
    #[garde(skip)]
    results: Option<ResultPolicy>,
    /// Whether students see the points of each question with their result.
    #[garde(skip)]
    #[serde(default)]
    show_marks: bool,
    /// Whether students may read the questions again once they see their result.
    #[garde(skip)]
    #[serde(default)]
    review: bool,
    /// Which students may sit it.
    #[garde(skip)]
    #[schemars(extend("default" = "open"))]
    access: Option<Admission>,
    /// What students exchange for a seat, with `access: code`. Nobody can read it again.
    #[garde(inner(custom(is_code)))]
    #[schemars(length(min = MIN_CODE, max = MAX_CODE))]
    access_code: Option<String>,
}

/// Shortest code of an exam, in characters.
const MIN_CODE: usize = 6;
/// Longest code of an exam, in characters.
pub(super) const MAX_CODE: usize = 100;

/// Blanks around a code do not count, as where it is exchanged.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde passes the context by reference")]
fn is_code(text: &str, (): &()) -> garde::Result {
    is_one_line(text, &())?;
    match text.trim().chars().count() {
        MIN_CODE..=MAX_CODE => Ok(()),
        _ => Err(garde::Error::new(format!("must be {MIN_CODE} to {MAX_CODE} characters long, without blanks around"))),
    }
}

#[derive(Deserialize, JsonSchema)]
pub(super) struct Writing {
    /// Changes what is locked since students have begun; it is recorded.
    #[serde(default)]
    pub(super) force: bool,
}

/// A change of an exam. What is absent stays as it is; `null` removes a bound of the window.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "ExamChange", example = json!({"closesAt": null, "passMark": 60}))]
struct Change {
    #[garde(length(chars, min = 1, max = Exam::MAX_TITLE), inner(custom(is_one_line)))]
    title: Option<String>,
    #[garde(length(chars, max = Exam::MAX_DESCRIPTION), inner(custom(has_no_nul)))]
    description: Option<String>,
    #[garde(range(min = 1, max = Exam::MAX_MINUTES))]
    duration_minutes: Option<u32>,
    #[garde(range(min = 1, max = Exam::MAX_ATTEMPTS))]
    max_attempts: Option<u32>,
    #[garde(range(max = Exam::MAX_PASS_MARK))]
    pass_mark: Option<u8>,
    #[garde(skip)]
    #[serde(default)]
    #[schemars(with = "Option<Timestamp>")]
    opens_at: Patch<Timestamp>,
    #[garde(skip)]
    #[serde(default)]
    #[schemars(with = "Option<Timestamp>")]
    closes_at: Patch<Timestamp>,
    #[garde(skip)]
    shuffle: Option<bool>,
    /// When students may read the questions.
    #[garde(skip)]
    paper: Option<PaperPolicy>,
    /// When students see their results; `null`: as the number of attempts asks for.
    #[garde(skip)]
    #[serde(default)]
    #[schemars(with = "Option<ResultPolicy>")]
    results: Patch<ResultPolicy>,
    /// Whether students see the points of each question with their result.
    #[garde(skip)]
    show_marks: Option<bool>,
    /// Whether students may read the questions again once they see their result.
    #[garde(skip)]
    review: Option<bool>,
    /// Which students may sit it.
    #[garde(skip)]
    access: Option<Admission>,
    /// What students exchange for a seat from now on. Seats that were taken stay.
    #[garde(inner(custom(is_code)))]
    #[schemars(length(min = MIN_CODE, max = MAX_CODE))]
    access_code: Option<String>,
}

/// Which exams are wanted.
#[derive(Deserialize, JsonSchema)]
struct Wanted {
    /// Those in this state.
    status: Option<ExamStatus>,
    /// Those of this author.
    author: Option<UserId>,
    /// Those whose title contains this, in any case.
    q: Option<SearchText>,
}

#[derive(Clone, Copy, Default, Deserialize, JsonSchema)]
#[schemars(inline)]
enum ExamOrder {
    #[serde(rename = "createdAt")]
    Oldest,
    #[default]
    #[serde(rename = "-createdAt")]
    Newest,
    #[serde(rename = "title")]
    Title,
    #[serde(rename = "-title")]
    TitleDown,
    #[serde(rename = "opensAt")]
    OpensFirst,
    #[serde(rename = "-opensAt")]
    OpensLast,
}

impl SortOrder for ExamOrder {
    type Sort = ExamSort;

    fn parts(self) -> (ExamSort, bool) {
        match self {
            Self::Oldest => (ExamSort::Created, false),
            Self::Newest => (ExamSort::Created, true),
            Self::Title => (ExamSort::Title, false),
            Self::TitleDown => (ExamSort::Title, true),
            Self::OpensFirst => (ExamSort::Opens, false),
            Self::OpensLast => (ExamSort::Opens, true),
        }
    }
}

impl Creation {
    /// An exam of which nothing else is said.
    pub(super) fn new(title: String, description: String, duration_minutes: u32) -> Self {
        Self {
            title,
            description,
            duration_minutes,
            max_attempts: None,
            pass_mark: None,
            opens_at: None,
            closes_at: None,
            shuffle: false,
            paper: None,
            results: None,
            show_marks: false,
            review: false,
            access: None,
            access_code: None,
        }
    }

    /// Attempts of a student where it says nothing.
    const ATTEMPTS: u32 = 1;
    /// Pass mark where it says nothing, in percent.
    const PASS_MARK: u8 = 50;

    /// Its code, once its window and that it has a code are checked.
    pub(super) fn checked_code(&self) -> Result<Option<String>, Error> {
        if !Exam::is_window(self.opens_at, self.closes_at) {
            return Err(Error::BadWindow);
        }
        if self.access == Some(Admission::Code) && self.access_code.is_none() {
            return Err(Error::NoCode);
        }
        Ok(self.access_code.clone())
    }

    pub(super) fn into_exam(self, author_id: UserId, access_code: Option<String>) -> NewExam {
        NewExam {
            author_id,
            title: self.title,
            description: self.description,
            duration_minutes: self.duration_minutes,
            max_attempts: self.max_attempts.unwrap_or(Self::ATTEMPTS),
            pass_mark: self.pass_mark.unwrap_or(Self::PASS_MARK),
            opens_at: self.opens_at,
            closes_at: self.closes_at,
            shuffle: self.shuffle,
            paper: self.paper.unwrap_or(PaperPolicy::AfterStart),
            results: self.results,
            show_marks: self.show_marks,
            review: self.review,
            access: self.access.unwrap_or(Admission::Open),
            access_code,
            status: ExamStatus::Draft,
            questions: Vec::new(),
        }
    }
}

/// An exam as it is asked for, with every default.
pub(super) fn asked(new: &NewExam, code: Option<&str>) -> Value {
    let window = (new.opens_at, new.closes_at);
    let shown = (new.paper, new.results, new.show_marks, new.review);
    let rules = (new.duration_minutes, new.max_attempts, new.pass_mark, window, new.shuffle, shown);
    if new.access == Admission::Open && code.is_none() {
        return json!([new.title, new.description, rules]); // as it was before there were others
    }
    json!([new.title, new.description, rules, new.access, code])
}

/// The PHC string of a code that came with this request.
pub(super) async fn hash_code(
    state: &State,
    request: &HttpRequest,
    code: Option<&str>,
) -> Result<Option<String>, Problem> {
    let Some(code) = code else { return Ok(None) };
    let Client(client) = Client::extract(request).await?;
    state.passwords.hash(client, code.trim().to_owned()).await.map(Some)
}

async fn create(
    request: HttpRequest,
    state: web::Data<State>,
    Authorized(Author(viewer), (key, JsonBody(body))): Authorized<Author, (IdempotencyKey, JsonBody<Creation>)>,
) -> Result<CreatedTagged<Exam>, Problem> {
    let code = body.checked_code()?;
    let hash = hash_code(&state, &request, code.as_deref()).await?;
    let new = body.into_exam(viewer.id, hash);
    let request = key.request(viewer.id, "POST /exams", &asked(&new, code.as_deref()));
    created(&state, &new, request).await
}

/// Makes an exam, once for all repetitions of a request that has a key.
pub(super) async fn created(
    state: &State,
    new: &NewExam,
    request: Option<IdempotentRequest>,
) -> Result<CreatedTagged<Exam>, Problem> {
    let location = |id: Uuid| format!("/api/v1/exams/{id}");
    if let Some(request) = request {
        let first = state.store.exams.create_idempotent(new, &request, now()).await?;
        return Ok(CreatedTagged::first(location(first.id), first));
    }
    let made = state.store.exams.create(new, now()).await?;
    Ok(CreatedTagged::new(location(made.value.id.0), made.version, &made.value))
}

/// An exam of a list.
#[derive(Serialize, JsonSchema)]
struct ListedExam {
    #[serde(flatten)]
    exam: Exam,
    /// For students, of exams that not all may sit: whether they may.
    #[serde(skip_serializing_if = "Option::is_none")]
    seat: Option<bool>,
}

async fn all(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Parameters(Wanted { status, author, q }): Parameters<Wanted>,
    SortedPaging(page): SortedPaging<ExamOrder>,
) -> Result<web::Json<Items<ListedExam>>, Problem> {
    let filter = ExamFilter { status, author, text: q.map(|SearchText(text)| text) };
    let Listed { items, next } = state.store.exams.list(viewer, &filter, &page).await?;
    let needs_seat = |exam: &Exam| viewer.role == Role::Student && exam.access != Admission::Open;
    let asked: Vec<_> = items.iter().filter(|exam| needs_seat(exam)).map(|exam| exam.id).collect();
    let seats = if asked.is_empty() { HashSet::new() } else { state.store.seats.among(&asked, viewer.id).await? };
    let listed = |exam: Exam| ListedExam { seat: needs_seat(&exam).then(|| seats.contains(&exam.id)), exam };
    Ok(Items::sorted(Listed { items: items.into_iter().map(listed).collect(), next }))
}

async fn read(
    request: HttpRequest,
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ExamId>,
) -> Result<CacheAnswer<ExamKey>, Problem> {
    let (cached, source) = cached_exam(&state, id).await?;
    if cached.head().sheet_for(viewer, now()) == Visibility::Hidden {
        return Err(Problem::not_found());
    }
    let is_for_some = cached.head().access == Admission::Roster && viewer.role == Role::Student;
    if is_for_some && !state.seats.has(&state.store, id, viewer.id).await? && !has_sat(&state, id, viewer.id).await? {
        return Err(Error::NoSeat(Admission::Roster).into());
    }
    Ok(respond::cached(&request, &cached, source))
}

/// Whether a student has begun the exam: then they read it, also where they were taken off its roster since.
async fn has_sat(state: &State, id: ExamId, student: UserId) -> Result<bool, Error> {
    Ok(state.store.attempts.last_of(id, student).await?.is_some())
}

/// The exam as everybody reads it; its head says who may.
pub(super) async fn cached_exam(state: &web::Data<State>, id: ExamId) -> Result<(Cached<ExamKey>, Source), Problem> {
    let database = state.clone();
    let load = move || load_exam(database.store.clone(), id);
    let (cached, source) = state.cache.get_or_load(&ExamKey(id), load).await?;
    Ok((cached.ok_or_else(Problem::not_found)?, source))
}

async fn change(
    request: HttpRequest,
    state: web::Data<State>,
    Authorized(owned, (versions, Parameters(writing), JsonBody(body))): Authorized<
        OwnedExam,
        (IfMatch, Parameters<Writing>, JsonBody<Change>),
    >,
) -> Result<Tagged<Exam>, Problem> {
    let (current, expected) = (owned.exam, versions.expected(owned.version)?);
    let editor = Editor { user: owned.viewer.id, force: writing.force, expected };
    let access_code = hash_code(&state, &request, body.access_code.as_deref()).await?;
    let change = ExamChange { access_code, ..body.into() };
    let changed = state.store.exams.change(current.id, &change, editor, now()).await?;
    Ok(Tagged { version: changed.version, body: changed.value })
}

async fn remove(
    state: web::Data<State>,
    Authorized(owned, versions): Authorized<OwnedExam, IfMatch>,
) -> Result<NoContent, Problem> {
    state.store.exams.delete(owned.exam.id, editor(&owned, &versions)?, now()).await?;
    Ok(NoContent)
}

pub(super) fn editor(owned: &OwnedExam, versions: &IfMatch) -> Result<Editor, Problem> {
    Ok(Editor { expected: versions.expected(owned.version)?, ..Editor::new(owned.viewer.id) })
}

impl From<Change> for ExamChange {
    fn from(change: Change) -> Self {
        Self {
            title: change.title,
            description: change.description,
            duration_minutes: change.duration_minutes,
            max_attempts: change.max_attempts,
            pass_mark: change.pass_mark,
            opens_at: change.opens_at,
            closes_at: change.closes_at,
            shuffle: change.shuffle,
            paper: change.paper,
            results: change.results,
            show_marks: change.show_marks,
            review: change.review,
            access: change.access,
            access_code: None, // it is hashed first
        }
    }
}
