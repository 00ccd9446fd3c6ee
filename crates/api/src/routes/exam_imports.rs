//! Exams out of documents and files: everything is taken, or nothing, and what cannot be is named.

use std::pin::Pin;

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::StatusCode, web};
use examhall_core::{Exam, MAX_QUESTIONS, Question, QuestionId};
use examhall_formats::{Found, Note, gift, moodle_xml};
use examhall_store::NewExam;
use garde::Validate;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::{
    exam_documents::{FORMAT, Format, VERSION},
    exams::{Creation, asked, created, hash_code},
    questions::all_of,
};
use crate::{
    http::{
        authorized::Authorized,
        body::{bytes, checked, parse},
        extract::Parameters,
        guards::Author,
        idempotency::IdempotencyKey,
        object::objects,
        problem::{FieldError, Problem},
        question_form::QuestionForm,
        respond::CreatedTagged,
    },
    openapi::{Description, Input, Operation, post},
    state::State,
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![post("/exams/import", "importExam", "Draft an exam from a document or a file of questions", import)]
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

/// What a file of questions does not say, and how it is read.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Importing {
    /// That of the body, by its type where absent.
    format: Option<Format>,
    /// For a file of questions: the exam's title; the file's first category where absent.
    title: Option<String>,
    /// For a file of questions: what the exam is about.
    description: Option<String>,
    /// For a file of questions: time that a student has.
    duration_minutes: Option<u32>,
    /// For a file of questions: whether to import it without what an exam cannot keep. Where this is absent and there is such
    /// a thing, nothing is imported.
    #[serde(default)]
    lossy: bool,
}

/// A document, or a file of questions.
enum ImportBody {
    Document(Box<Imported>),
    Gift(web::Bytes),
    MoodleXml(web::Bytes),
}

impl FromRequest for ImportBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kind = request.content_type().to_ascii_lowercase();
        let body = bytes(request, payload);
        Box::pin(async move {
            match kind.as_str() {
                "application/json" => Ok(Self::Document(Box::new(parse(&body.await?)?))),
                "text/plain" => Ok(Self::Gift(body.await?)),
                "application/xml" | "text/xml" => Ok(Self::MoodleXml(body.await?)),
                _ => {
                    let detail = "send application/json, GIFT as text/plain, or Moodle XML as application/xml";
                    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail))
                }
            }
        })
    }
}

impl Input for ImportBody {
    fn describe(description: &mut Description) {
        description.body::<Imported>();
        description.or_text("text/plain");
        description.or_text("application/xml");
    }
}

impl ImportBody {
    const fn format(&self) -> Format {
        match self {
            Self::Document(_) => Format::Json,
            Self::Gift(_) => Format::Gift,
            Self::MoodleXml(_) => Format::MoodleXml,
        }
    }

    /// The exam and its questions, or everything that is wrong with them.
    fn read(self, asked: Importing) -> Result<(Creation, Vec<Question>), Problem> {
        if asked.format.is_some_and(|format| format != self.format()) {
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body's type is that of another format"));
        }
        match self {
            Self::Document(document) => {
                let Imported { exam, mut questions, .. } = *document;
                for form in &mut questions {
                    form.id = None;
                }
                let checked = exam.checked_code().map_err(|error| Problem::from(error).under("/exam"));
                Problem::both(checked, all_of(questions)).map(|(_, questions)| (exam, questions))
            }
            Self::Gift(file) => of_file(gift::read(text(&file)?, &mut new_id), asked),
            Self::MoodleXml(file) => of_file(moodle_xml::read(text(&file)?, &mut new_id), asked),
        }
    }
}

fn new_id() -> QuestionId {
    QuestionId(Uuid::now_v7())
}

fn text(file: &[u8]) -> Result<&str, Problem> {
    std::str::from_utf8(file).map_err(|_| Problem::bad_request("the file is not UTF-8"))
}

/// What a file says, with what it cannot say.
fn of_file(found: Found, asked: Importing) -> Result<(Creation, Vec<Question>), Problem> {
    let Found { title, questions, notes } = found;
    let exam = settings(asked.title.or(title), asked.description, asked.duration_minutes);
    let (losses, faults): (Vec<_>, Vec<_>) = notes.iter().partition(|note| note.is_loss);
    let questions = if !faults.is_empty() {
        let named = if asked.lossy { faults } else { notes.iter().collect() };
        Err(Problem::invalid(named.into_iter().map(error).collect()).saying("this file cannot be imported"))
    } else if !losses.is_empty() && !asked.lossy {
        let detail = "the file holds what an exam does not keep: `?lossy=true` imports it without";
        Err(Problem::invalid(losses.into_iter().map(error).collect()).saying(detail))
    } else {
        Ok(questions)
    };
    Problem::both(questions, exam).map(|(questions, exam)| (exam, questions))
}

fn error(note: &Note) -> FieldError {
    FieldError { pointer: note.pointer.clone(), detail: format!("line {}: {}", note.line, note.detail) }
}

/// The exam that these parameters ask for.
fn settings(title: Option<String>, description: Option<String>, minutes: Option<u32>) -> Result<Creation, Problem> {
    let missing = |name: &str, is_missing: bool| {
        is_missing.then(|| FieldError { pointer: format!("/{name}"), detail: "must be given with a file".to_owned() })
    };
    let missing: Vec<_> = [missing("title", title.is_none()), missing("durationMinutes", minutes.is_none())]
        .into_iter()
        .flatten()
        .collect();
    let new = Creation::new(title.unwrap_or_default(), description.unwrap_or_default(), minutes.unwrap_or_default());
    if missing.is_empty() { checked(new) } else { Err(Problem::invalid(missing)) }
}

async fn import(
    request: HttpRequest,
    state: web::Data<State>,
    Authorized(Author(viewer), (key, Parameters(wanted), body)): Authorized<
        Author,
        (IdempotencyKey, Parameters<Importing>, ImportBody),
    >,
) -> Result<CreatedTagged<Exam>, Problem> {
    let (exam, questions) = body.read(wanted)?;
    let code = exam.checked_code()?;
    let access_code = hash_code(&state, &request, code.as_deref()).await?;
    let new = NewExam { questions, ..exam.into_exam(viewer.id, access_code) };
    let key = key.request(viewer.id, "POST /exams/import", &json!([asked(&new, code.as_deref()), keys(&new)]));
    created(&state, &new, key).await
}

/// The questions without their ids, which each request makes.
fn keys(new: &NewExam) -> Value {
    new.questions.iter().map(|question| json!([question.text, question.points, question.kind])).collect()
}
