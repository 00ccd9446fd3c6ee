//! `/exams/{id}/questions` and `/questions/{id}`: students read them without keys through the cache, authors with keys
//! from the database.

use std::collections::HashSet;

use actix_web::{Either, FromRequest, HttpRequest, web};
use examhall_cache::{Cached, Source};
use examhall_core::{ExamAccess, ExamId, MAX_QUESTIONS, Question, QuestionId, Role, Viewer, Visibility};
use examhall_store::{Edit, Editor, Versioned};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::exams::{Writing, cached_exam};
use crate::{
    cache_keys::{QuestionKey, QuestionSheetKey, json_form::JsonForm},
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::{Id, IfMatch, LoggedIn, Parameters},
        guards::{OwnedExam, OwnedQuestion},
        idempotency::IdempotencyKey,
        object::objects,
        problem::{FieldError, Problem},
        question_form::QuestionForm,
        respond::{self, CacheAnswer, CreatedTagged, NoContent, Tagged},
    },
    loaders::{load_question, load_sheet},
    openapi::{Operation, delete, get, patch, post, put},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/exams/{id}/questions", "readSheet", "Read an exam's questions", sheet),
        put("/exams/{id}/questions", "replaceQuestions", "Replace all questions", replace),
        post("/exams/{id}/questions", "addQuestion", "Add a question", add),
        get("/questions/{id}", "readQuestion", "Read a question", read),
        patch("/questions/{id}", "changeQuestion", "Change a question", change),
        delete("/questions/{id}", "removeQuestion", "Remove a question", remove),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
enum Include {
    Answers,
}

#[derive(Deserialize, JsonSchema)]
struct Reading {
    /// For the exam's author: with the answer keys.
    include: Option<Include>,
}

/// All questions of an exam, in place of those before.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewQuestionSet")]
struct WholeSet {
    #[garde(length(max = MAX_QUESTIONS))]
    #[serde(deserialize_with = "objects")]
    questions: Vec<QuestionForm>,
}

/// The questions of an exam, with their answer keys.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct QuestionSet {
    exam_id: ExamId,
    /// Counts the changes of the exam and its questions.
    version: i64,
    questions: Vec<Question>,
}

impl JsonForm for QuestionSet {}

async fn sheet(
    request: HttpRequest,
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ExamId>,
    Parameters(reading): Parameters<Reading>,
) -> Result<Either<CacheAnswer<QuestionSheetKey>, Tagged<QuestionSet>>, Problem> {
    if reading.include.is_some() {
        // In a box: it would make the whole future, which most readers use another part of, thrice as large.
        return Box::pin(async move {
            let owned = OwnedExam::extract(&request).await?;
            let Versioned { version, value: paper } = state.store.questions.paper(owned.exam.id).await?;
            Ok(Either::Right(with_key(owned.exam.id, version, paper.questions.clone())))
        })
        .await;
    }
    let (cached, source) = cached_sheet(&state, id).await?;
    if !sees(&state, (id, cached.head()), viewer)? {
        Box::pin(look_up(&state, (id, cached.head()), viewer)).await?;
    }
    Ok(Either::Left(respond::cached(&request, &cached, source)))
}

/// The sheet as students see it.
pub(super) async fn cached_sheet(
    state: &web::Data<State>,
    id: ExamId,
) -> Result<(Cached<QuestionSheetKey>, Source), Problem> {
    let database = state.clone();
    let load = move || load_sheet(database.store.clone(), id);
    let (cached, source) = state.cache.get_or_load(&QuestionSheetKey(id), load).await?;
    Ok((cached.ok_or_else(Problem::not_found)?, source))
}

async fn read(
    request: HttpRequest,
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<QuestionId>,
    Parameters(reading): Parameters<Reading>,
) -> Result<Either<CacheAnswer<QuestionKey>, Tagged<Question>>, Problem> {
    if reading.include.is_some() {
        let OwnedQuestion { version, question, .. } = OwnedQuestion::extract(&request).await?;
        return Ok(Either::Right(Tagged { version, body: question }));
    }
    let database = state.clone();
    let load = move || load_question(database.store.clone(), id);
    let (cached, source) = state.cache.get_or_load(&QuestionKey(id), load).await?;
    let cached = cached.ok_or_else(Problem::not_found)?;
    let (exam, _) = cached_exam(&state, *cached.head()).await?;
    if !sees(&state, (*cached.head(), exam.head()), viewer)? {
        Box::pin(look_up(&state, (*cached.head(), exam.head()), viewer)).await?;
    }
    Ok(Either::Left(respond::cached(&request, &cached, source)))
}

/// Whether `viewer` may read the questions, as far as memory says: `false` asks for a look at their attempts.
fn sees(state: &State, (id, exam): (ExamId, &ExamAccess), viewer: Viewer) -> Result<bool, Problem> {
    let now = now();
    match exam.sheet_for(viewer, now) {
        Visibility::Allowed => Ok(true),
        Visibility::WithAttempt => Ok(state.sitters.knows(id, exam, viewer.id, now)),
        Visibility::Hidden => Err(Problem::not_found()),
    }
}

/// Refuses a viewer that has no attempt which shows the questions.
async fn look_up(state: &State, (id, exam): (ExamId, &ExamAccess), viewer: Viewer) -> Result<(), Problem> {
    let now = now();
    if state.sitters.look_up(&state.store, (id, exam), viewer, now).await? {
        return Ok(());
    }
    Err(Problem::forbidden(if !exam.is_open(now) {
        "the exam is not open"
    } else if viewer.role == Role::Student {
        "start an attempt first: the questions are shown while you sit the exam"
    } else {
        "only the exam's author and students who sit it read its questions"
    }))
}

/// What comes with a change, other than its body.
type Edits<T> = (IfMatch, Parameters<Writing>, T);

async fn replace(
    state: web::Data<State>,
    Authorized(owned, (versions, Parameters(writing), JsonBody(body))): Authorized<
        OwnedExam,
        Edits<JsonBody<WholeSet>>,
    >,
) -> Result<Tagged<QuestionSet>, Problem> {
    let questions = all_of(body.questions)?;
    let (id, expected) = (owned.exam.id, versions.expected(owned.version)?);
    let editor = Editor { user: owned.viewer.id, force: writing.force, expected };
    let edited = state.store.questions.edit(id, Edit::Replace(questions.clone()), editor, now()).await?;
    Ok(with_key(id, edited.version, questions)) // not read again: what is committed must be answered
}

async fn add(
    state: web::Data<State>,
    Authorized(owned, (key, (versions, Parameters(writing), JsonBody(form)))): Authorized<
        OwnedExam,
        (IdempotencyKey, Edits<JsonBody<QuestionForm>>),
    >,
) -> Result<CreatedTagged<Question>, Problem> {
    let (exam, given_id) = (owned.exam.id, form.id);
    let question = form.into_question("").map_err(Problem::invalid)?;
    let asked = json!([given_id, question.text, question.points, question.kind]);
    let request = key.request(owned.viewer.id, &format!("POST /exams/{exam}/questions"), &asked);
    let location = |id: Uuid| format!("/api/v1/questions/{id}");
    // Before `If-Match`: a repeated request names the version before it.
    if let Some(request) = &request
        && let Some(first) = state.store.first_answer(request, now()).await?
    {
        return Ok(CreatedTagged::first(location(first.id), first));
    }
    let expected = versions.expected(owned.version)?;
    let editor = Editor { user: owned.viewer.id, force: writing.force, expected };
    if let Some(request) = request {
        let first = state.store.questions.add_idempotent(exam, &question, editor, &request, now()).await?;
        return Ok(CreatedTagged::first(location(first.id), first));
    }
    let edited = state.store.questions.edit(exam, Edit::Add(question.clone()), editor, now()).await?;
    Ok(CreatedTagged::new(location(question.id.0), edited.version, &question))
}

async fn change(
    state: web::Data<State>,
    Authorized(owned, (versions, Parameters(writing), JsonBody(form))): Authorized<
        OwnedQuestion,
        Edits<JsonBody<QuestionForm>>,
    >,
) -> Result<Tagged<Question>, Problem> {
    let OwnedQuestion { viewer, version, exam, question: current } = owned;
    if form.id.is_some_and(|given| given != current.id) {
        let detail = "cannot be changed".to_owned();
        return Err(Problem::invalid(vec![FieldError { pointer: "/id".to_owned(), detail }]));
    }
    let question = form.over(&current).into_question("").map_err(Problem::invalid)?;
    // What was read is what is changed, also for those who named no version.
    let expected = versions.expected(version)?.or(Some(version));
    let editor = Editor { user: viewer.id, force: writing.force, expected };
    let edited = state.store.questions.edit(exam.id, Edit::Change(question.clone()), editor, now()).await?;
    Ok(Tagged { version: edited.version, body: question })
}

async fn remove(
    state: web::Data<State>,
    Authorized(owned, (versions, Parameters(writing))): Authorized<OwnedQuestion, (IfMatch, Parameters<Writing>)>,
) -> Result<NoContent, Problem> {
    let expected = versions.expected(owned.version)?;
    let editor = Editor { user: owned.viewer.id, force: writing.force, expected };
    state.store.questions.edit(owned.exam.id, Edit::Remove(owned.question.id), editor, now()).await?;
    Ok(NoContent)
}

/// The sheet as its author sees it: never from or into the cache.
fn with_key(exam_id: ExamId, version: i64, questions: Vec<Question>) -> Tagged<QuestionSet> {
    Tagged { version, body: QuestionSet { exam_id, version, questions } }
}

/// The questions of a whole set, or everything that is wrong with any of them.
pub(super) fn all_of(forms: Vec<QuestionForm>) -> Result<Vec<Question>, Problem> {
    let (mut questions, mut errors, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
    for (n, form) in forms.into_iter().enumerate() {
        let at = format!("/questions/{n}");
        if form.id.is_some_and(|id| !seen.insert(id)) {
            let detail = "must not be the id of another question".to_owned();
            errors.push(FieldError { pointer: format!("{at}/id"), detail });
        }
        match form.into_question(&at) {
            Ok(question) => questions.push(question),
            Err(faults) => errors.extend(faults),
        }
    }
    if errors.is_empty() { Ok(questions) } else { Err(Problem::invalid(errors)) }
}
