//! Exams as documents: exported, imported into a new draft, duplicated.

use actix_web::{HttpRequest, web};
use examhall_core::{
    Admission, Exam, ExamStatus, MAX_QUESTIONS, PaperPolicy, Question, QuestionId, ResultPolicy, Timestamp,
};
use examhall_store::{Error, NewExam, Versioned};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::{
    exams::{Creation, hash_code},
    questions::all_of,
};
use crate::{
    http::{
        authorized::Authorized,
        body::{JsonBody, OptionalBody},
        guards::{Author, OwnedExam},
        object::objects,
        problem::Problem,
        question_form::QuestionForm,
        respond::CreatedTagged,
        text::is_one_line,
    },
    openapi::{Operation, get, post},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/exams/import", "importExam", "Draft an exam from a document", import),
        get("/exams/{id}/export", "exportExam", "Export an exam with its answer keys", export),
        post("/exams/{id}/duplicate", "duplicateExam", "Draft a copy of an exam", duplicate),
    ]
}

/// What a document begins with.
const FORMAT: &str = "examhall-exam";
/// The form of documents: another one where this is not enough.
const VERSION: u32 = 1;

/// An exam with its questions and their answer keys, without attempts.
#[derive(Serialize, JsonSchema)]
struct ExamDocument {
    format: &'static str,
    version: u32,
    exam: Settings,
    questions: Vec<Question>,
    /// What the exam has and a document cannot hold, as JSON Pointers.
    omitted: Vec<&'static str>,
}

/// What is said of an exam in a document.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "ExamSettings")]
struct Settings {
    title: String,
    description: String,
    duration_minutes: u32,
    max_attempts: u32,
    pass_mark: u8,
    #[serde(skip_serializing_if = "Option::is_none")]
    opens_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    closes_at: Option<Timestamp>,
    shuffle: bool,
    paper: PaperPolicy,
    results: ResultPolicy,
    show_marks: bool,
    review: bool,
    /// Absent with a code, which nobody can read.
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<Admission>,
}

/// A document to be imported. Ids of questions are not taken over: an import makes new ones.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewExamDocument", example = json!({
    "format": FORMAT,
    "version": VERSION,
    "exam": {"title": "Algebra", "description": "Sums and products", "durationMinutes": 90},
    "questions": [{"type": "trueFalse", "text": "2 + 2 = 4", "correct": true}],
}))]
struct Imported {
    /// `examhall-exam`.
    #[garde(custom(is_format))]
    format: String,
    #[garde(range(min = VERSION, max = VERSION))]
    version: u32,
    #[garde(dive)]
    exam: Creation,
    #[garde(length(max = MAX_QUESTIONS))]
    #[serde(deserialize_with = "objects")]
    questions: Vec<QuestionForm>,
    /// Not read: it says what the export has left out.
    #[garde(skip)]
    #[serde(default, rename = "omitted")]
    _omitted: Vec<String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde passes the context by reference")]
fn is_format(text: &str, (): &()) -> garde::Result {
    if text == FORMAT { Ok(()) } else { Err(garde::Error::new(format!("must be {FORMAT}"))) }
}

/// What a copy has that its exam has not.
#[derive(Default, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Duplication {
    /// That of the exam where absent.
    #[garde(length(chars, min = 1, max = Exam::MAX_TITLE), inner(custom(is_one_line)))]
    title: Option<String>,
}

async fn export(state: web::Data<State>, owned: OwnedExam) -> Result<web::Json<ExamDocument>, Problem> {
    let Versioned { value: paper, .. } = state.store.questions.paper(owned.exam.id).await?;
    let has_code = paper.exam.access == Admission::Code;
    let omitted = if has_code { vec!["/exam/access", "/exam/accessCode"] } else { Vec::new() };
    let exam = Settings::from(paper.exam);
    Ok(web::Json(ExamDocument { format: FORMAT, version: VERSION, exam, questions: paper.questions, omitted }))
}

async fn import(
    request: HttpRequest,
    state: web::Data<State>,
    Authorized(Author(viewer), JsonBody(body)): Authorized<Author, JsonBody<Imported>>,
) -> Result<CreatedTagged<Exam>, Problem> {
    let code = body.exam.checked_code()?;
    let mut forms = body.questions;
    for form in &mut forms {
        form.id = None;
    }
    let questions = all_of(forms)?;
    let access_code = hash_code(&state, &request, code.as_deref()).await?;
    made(&state, &NewExam { questions, ..body.exam.into_exam(viewer.id, access_code) }).await
}

async fn duplicate(
    state: web::Data<State>,
    Authorized(owned, OptionalBody(body)): Authorized<OwnedExam, OptionalBody<Duplication>>,
) -> Result<CreatedTagged<Exam>, Problem> {
    let (_, access_code) = state.store.seats.code(owned.exam.id).await?;
    let Versioned { value: paper, .. } = state.store.questions.paper(owned.exam.id).await?;
    let exam = paper.exam;
    let copy = |question: Question| Question { id: QuestionId(Uuid::now_v7()), ..question };
    let new = NewExam {
        author_id: owned.viewer.id,
        title: body.title.unwrap_or(exam.title),
        description: exam.description,
        duration_minutes: exam.duration_minutes,
        max_attempts: exam.max_attempts,
        pass_mark: exam.pass_mark,
        opens_at: exam.opens_at,
        closes_at: exam.closes_at,
        shuffle: exam.shuffle,
        paper: exam.paper,
        results: Some(exam.results),
        show_marks: exam.show_marks,
        review: exam.review,
        access: exam.access,
        access_code,
        status: ExamStatus::Draft,
        questions: paper.questions.into_iter().map(copy).collect(),
    };
    made(&state, &new).await
}

async fn made(state: &State, new: &NewExam) -> Result<CreatedTagged<Exam>, Problem> {
    let made = state.store.exams.create(new, now()).await.map_err(|error: Error| Problem::from(error))?;
    Ok(CreatedTagged::new(format!("/api/v1/exams/{}", made.value.id), made.version, &made.value))
}

impl From<Exam> for Settings {
    fn from(exam: Exam) -> Self {
        Self {
            title: exam.title,
            description: exam.description,
            duration_minutes: exam.duration_minutes,
            max_attempts: exam.max_attempts,
            pass_mark: exam.pass_mark,
            opens_at: exam.opens_at,
            closes_at: exam.closes_at,
            shuffle: exam.shuffle,
            paper: exam.paper,
            results: exam.results,
            show_marks: exam.show_marks,
            review: exam.review,
            access: Some(exam.access).filter(|access| *access != Admission::Code),
        }
    }
}
