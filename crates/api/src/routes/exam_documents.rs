//! Exams as documents and files: exported, and duplicated.

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION},
    },
    web,
};
use examhall_core::{Admission, Exam, ExamStatus, PaperPolicy, Question, QuestionId, ResultPolicy, Timestamp};
use examhall_formats::{gift, moodle_xml};
use examhall_store::{NewExam, Versioned};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::exams::created;
use crate::{
    http::{
        authorized::Authorized, body::OptionalBody, extract::Parameters, guards::OwnedExam,
        idempotency::IdempotencyKey, problem::Problem, respond::CreatedTagged, text::is_one_line,
    },
    openapi::{Answer, Description, Operation, get, post},
    state::State,
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/exams/{id}/export", "exportExam", "Export an exam with its answer keys", export),
        post("/exams/{id}/duplicate", "duplicateExam", "Draft a copy of an exam", duplicate),
    ]
}

/// What a document begins with.
pub(super) const FORMAT: &str = "examhall-exam";
/// The form of documents: another one where this is not enough.
pub(super) const VERSION: u32 = 1;

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

/// What a copy has that its exam has not.
#[derive(Default, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Duplication {
    /// That of the exam where absent.
    #[garde(length(chars, min = 1, max = Exam::MAX_TITLE), inner(custom(is_one_line)))]
    title: Option<String>,
}

/// How an exam is written down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub(super) enum Format {
    /// The document, which holds everything.
    Json,
    /// Moodle's text format: questions only.
    Gift,
    /// Questions only, with points.
    MoodleXml,
}

#[derive(Deserialize, JsonSchema)]
struct Exporting {
    /// How it is written down: `json` where absent.
    format: Option<Format>,
}

async fn export(
    state: web::Data<State>,
    Authorized(owned, Parameters(asked)): Authorized<OwnedExam, Parameters<Exporting>>,
) -> Result<ExamFile, Problem> {
    let Versioned { value: paper, .. } = state.store.questions.paper(owned.exam.id).await?;
    let has_code = paper.exam.access == Admission::Code;
    let omitted = if has_code { vec!["/exam/access", "/exam/accessCode"] } else { Vec::new() };
    let (exam, questions) = (Settings::from(paper.exam), paper.questions);
    Ok(match asked.format.unwrap_or(Format::Json) {
        Format::Json => {
            let document = ExamDocument { format: FORMAT, version: VERSION, exam, questions, omitted };
            let body = serde_json::to_vec(&document).map_err(|error| Problem::internal(&error))?;
            ExamFile { name: "exam.json", media_type: "application/json", body }
        }
        Format::Gift => {
            let body = gift::write(&exam.title, &questions, &exam.beyond_questions(&omitted)).into_bytes();
            ExamFile { name: "exam.gift.txt", media_type: "text/plain; charset=utf-8", body }
        }
        Format::MoodleXml => {
            let body = moodle_xml::write(&exam.title, &questions, &exam.beyond_questions(&omitted)).into_bytes();
            ExamFile { name: "exam.xml", media_type: "application/xml", body }
        }
    })
}

impl Settings {
    /// JSON Pointers to what a file of questions leaves out: everything that says something, but the title.
    fn beyond_questions(&self, omitted: &[&str]) -> Vec<String> {
        let settings = serde_json::to_value(self).unwrap_or_default();
        let settings = settings.as_object().into_iter().flatten();
        let named =
            settings.filter(|(name, value)| *name != "title" && *value != "").map(|(name, _)| format!("/exam/{name}"));
        named.chain(omitted.iter().map(ToString::to_string)).collect()
    }
}

/// 200 with a file.
struct ExamFile {
    name: &'static str,
    media_type: &'static str,
    body: Vec<u8>,
}

impl Responder for ExamFile {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        HttpResponse::Ok()
            .content_type(self.media_type)
            .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{}\"", self.name)))
            .insert_header((CACHE_CONTROL, "no-store"))
            .body(self.body)
    }
}

impl Answer for ExamFile {
    fn describe(description: &mut Description) {
        description.json::<ExamDocument>(StatusCode::OK, &["Content-Disposition"]);
        description.content(StatusCode::OK, &[], "text/plain", json!({"type": "string"}));
        description.content(StatusCode::OK, &[], "application/xml", json!({"type": "string"}));
    }
}

async fn duplicate(
    state: web::Data<State>,
    Authorized(owned, (key, OptionalBody(body))): Authorized<OwnedExam, (IdempotencyKey, OptionalBody<Duplication>)>,
) -> Result<CreatedTagged<Exam>, Problem> {
    let route = format!("POST /exams/{}/duplicate", owned.exam.id);
    let request = key.request(owned.viewer.id, &route, &json!([body.title]));
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
    created(&state, &new, request).await
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
