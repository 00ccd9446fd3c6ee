//! `/attempts`: start, save, submit.

use actix_web::{HttpRequest, HttpResponse, Responder, body::BoxBody, http::StatusCode, web};
use examhall_core::{
    Answer, AnswerValue, Attempt, AttemptId, AttemptState, Choice, ExamId, MAX_QUESTIONS, Question, StudentQuestion,
    Timestamp, Ungraded, Viewer, Visibility, shuffled,
};
use examhall_store::{Error, SaveReceipt};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{exams::cached_exam, questions::cached_sheet};
use crate::{
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::{Id, LoggedIn},
        guards::Student,
        language::AcceptedLanguage,
        object::objects,
        problem::{FieldError, Problem},
        respond::Created,
    },
    openapi::{self, Description, Operation, get, patch, post, put},
    state::{State, now},
    submission::{self, HandedIn},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/exams/{id}/attempts", "startAttempt", "Start an attempt", start),
        get("/attempts/{id}", "readAttempt", "Come back to an attempt", read),
        put("/attempts/{id}/answers", "saveAnswers", "Save all answers", save),
        patch("/attempts/{id}/answers", "changeAnswers", "Save what changed", merge),
        post("/attempts/{id}/submit", "submitAttempt", "Submit, and get the result", submit),
    ]
}

/// Answers: with `PUT` all of them, with `PATCH` those that changed. One without `choiceIds` and `value` removes an answer.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(example = json!({
    "seq": 3,
    "answers": [{"questionId": "018f4e3a-0000-7000-8000-000000000001", "choiceIds": ["a"]}],
}))]
struct Answers {
    /// Number of the save: one that is not above the stored one changes nothing.
    #[garde(range(min = 0, max = Attempt::MAX_SEQ))]
    seq: i64,
    #[garde(length(max = MAX_QUESTIONS))]
    #[serde(deserialize_with = "objects")]
    answers: Vec<Answer>,
}

/// What is stored.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "Saved")]
struct SavedAnswers {
    /// Number of the newest save.
    seq: i64,
    saved_at: Timestamp,
    /// Answers that cannot be graded.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ungraded: Vec<Ungraded>,
}

/// An attempt with its answers.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct FullAttempt {
    #[serde(flatten)]
    attempt: Attempt,
    state: AttemptState,
    seq: i64,
    answers: Vec<Answer>,
}

/// 201 with the new attempt. Where one is open already, the refusal says where.
struct Started(Created<Attempt>);

impl Responder for Started {
    type Body = BoxBody;

    fn respond_to(self, request: &HttpRequest) -> HttpResponse {
        self.0.respond_to(request)
    }
}

impl openapi::Answer for Started {
    fn describe(description: &mut Description) {
        Created::<Attempt>::describe(description);
        description.problem_header(StatusCode::CONFLICT, "Location", "Address of the attempt that is open");
    }
}

async fn start(state: web::Data<State>, Student(viewer): Student, Id(id): Id<ExamId>) -> Result<Started, Problem> {
    // First: what is committed must be answered. An exam that is not shuffled is started without its questions.
    let questions = if is_shuffled(&state, id).await? { sheet_questions(&state, id).await? } else { Vec::new() };
    let mut started = state.store.attempts.start(id, viewer.id, now()).await;
    if let Err(Error::AttemptOpen(open)) = started {
        let (open, _) = state.store.attempts.get(open).await?;
        if open.takes_answers(now()) {
            return Err(Error::AttemptOpen(open.id).into());
        }
        // Its time is over, and the sweeper has not come to it yet. If it was given more time meanwhile, it stays open.
        submission::submit_overdue(&state, open.id, viewer.id).await?;
        started = state.store.attempts.start(id, viewer.id, now()).await;
    }
    if matches!(started, Err(Error::NotOpen)) {
        let exam = state.store.exams.get(id).await?.value;
        if exam.access().sheet_for(viewer, now()) == Visibility::Hidden {
            return Err(Problem::not_found());
        }
    }
    let (exam, mut attempt) = started?;
    state.sitters.note(&attempt, exam.access(), now());
    if exam.shuffle {
        // Read again: until the attempt was there, questions could be changed.
        let questions = sheet_questions(&state, id).await.unwrap_or(questions);
        attempt.order = (!questions.is_empty()).then(|| shuffled(attempt.id, &questions));
    }
    Ok(Started(Created { location: format!("/api/v1/attempts/{}", attempt.id), body: attempt }))
}

/// Returns whether each attempt has an order of its own.
async fn is_shuffled(state: &web::Data<State>, id: ExamId) -> Result<bool, Problem> {
    let (exam, _) = cached_exam(state, id).await?;
    match exam.value() {
        Ok(exam) => Ok(exam.shuffle),
        Err(error) => {
            tracing::debug!(exam_id = %id, %error, "A cached exam is of another release");
            Ok(state.store.exams.get(id).await?.value.shuffle)
        }
    }
}

/// Returns the questions of an exam, from the database if another release has cached them in a form that this one cannot
/// read.
async fn sheet_questions(state: &web::Data<State>, id: ExamId) -> Result<Vec<StudentQuestion>, Problem> {
    let (sheet, _) = cached_sheet(state, id).await?;
    match sheet.value() {
        Ok(sheet) => Ok(sheet.questions),
        Err(error) => {
            tracing::debug!(exam_id = %id, %error, "A cached question sheet is of another release");
            Ok(state.store.exams.sheet(id).await?.1.questions)
        }
    }
}

async fn read(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<AttemptId>,
) -> Result<web::Json<FullAttempt>, Problem> {
    let (mut attempt, saved) = state.store.attempts.get(id).await?;
    let exam = state.store.exams.get(attempt.exam_id).await?.value;
    if attempt.user_id != viewer.id && !exam.access().is_owned_by(viewer) {
        return Err(another_students());
    }
    if exam.shuffle {
        attempt.order = Some(shuffled(attempt.id, &sheet_questions(&state, attempt.exam_id).await?));
    }
    let state = attempt.state();
    Ok(web::Json(FullAttempt { attempt, state, seq: saved.seq.max(0), answers: saved.answers }))
}

/// Changes of answers. Whose attempt it is costs a query, which a good body does without: see [`validated`].
type Change = Authorized<Student, (Id<AttemptId>, Result<JsonBody<Answers>, Problem>)>;

async fn save(
    state: web::Data<State>,
    Authorized(Student(viewer), (Id(id), body)): Change,
) -> Result<web::Json<SavedAnswers>, Problem> {
    let body = validated(&state, id, viewer, body).await?;
    let saved = state.store.attempts.save(id, viewer.id, body.seq, &body.answers, now()).await;
    saved_answer(&state, id, viewer, saved, &body.answers).await
}

async fn merge(
    state: web::Data<State>,
    Authorized(Student(viewer), (Id(id), body)): Change,
) -> Result<web::Json<SavedAnswers>, Problem> {
    let body = validated(&state, id, viewer, body).await?;
    let saved = state.store.attempts.merge(id, viewer.id, body.seq, &body.answers, now()).await;
    // What takes an answer away is none.
    let given = body.answers.into_iter().filter(|answer| answer.choice_ids.is_some() || answer.value.is_some());
    saved_answer(&state, id, viewer, saved, &given.collect::<Vec<_>>()).await
}

/// Returns the body if every field is good. Authorization comes first: what is wrong with a body is said to the owner of
/// the attempt alone. A good body needs no look-up here, since the statement that stores it checks the owner.
async fn validated(
    state: &State,
    id: AttemptId,
    viewer: Viewer,
    body: Result<JsonBody<Answers>, Problem>,
) -> Result<Answers, Problem> {
    let checked = body.and_then(|JsonBody(body)| refuse_faults(&body.answers).map(|()| body));
    match checked {
        Err(refused) => {
            let (attempt, _) = state.store.attempts.get(id).await?;
            Err(if attempt.user_id == viewer.id { refused } else { another_students() })
        }
        checked => checked,
    }
}

async fn saved_answer(
    state: &State,
    id: AttemptId,
    viewer: Viewer,
    saved: Result<SaveReceipt, Error>,
    given: &[Answer],
) -> Result<web::Json<SavedAnswers>, Problem> {
    let SaveReceipt { exam, seq, saved_at } = match saved {
        Err(Error::NotFound) => return Err(not_mine(state, id, viewer).await),
        saved => saved?,
    };
    // They are stored: a paper that cannot be read must not make that an error.
    let ungraded = match state.papers.load(&state.store, exam, None).await {
        Ok(paper) => paper.key.ungraded(given),
        Err(error) => {
            tracing::warn!(exam_id = %exam, %error, "Saved answers were not held against their questions");
            Vec::new()
        }
    };
    Ok(web::Json(SavedAnswers { seq, saved_at, ungraded }))
}

async fn submit(
    state: web::Data<State>,
    AcceptedLanguage(language): AcceptedLanguage,
    Student(viewer): Student,
    Id(id): Id<AttemptId>,
) -> Result<web::Json<HandedIn>, Problem> {
    match submission::submit(&state, id, viewer.id, language.as_ref()).await {
        Err(Error::NotFound) => Err(not_mine(&state, id, viewer).await),
        submitted => {
            let submitted = submitted?;
            state.sitters.forget(submitted.exam_id, viewer.id);
            Ok(web::Json(submitted))
        }
    }
}

async fn not_mine(state: &State, id: AttemptId, viewer: Viewer) -> Problem {
    match state.store.attempts.get(id).await {
        Ok((attempt, _)) if attempt.user_id != viewer.id => another_students(),
        Ok(_) => Problem::not_found(),
        Err(error) => error.into(),
    }
}

fn another_students() -> Problem {
    Problem::forbidden("this attempt is another student's")
}

fn refuse_faults(answers: &[Answer]) -> Result<(), Problem> {
    let errors = faults(answers);
    if errors.is_empty() { Ok(()) } else { Err(Problem::invalid(errors)) }
}

/// What is over a limit. Whether a question exists is not asked here: saving must be cheap, and what answers no
/// question earns nothing.
fn faults(answers: &[Answer]) -> Vec<FieldError> {
    let mut errors = Vec::new();
    let mut check = |is_good: bool, n: usize, field: &str, detail: &str| {
        if !is_good {
            errors.push(FieldError { pointer: format!("/answers/{n}/{field}"), detail: detail.to_owned() });
        }
    };
    for (n, answer) in answers.iter().enumerate() {
        if let Some(ids) = &answer.choice_ids {
            let is_good = ids.len() <= Question::MAX_CHOICES
                && ids.iter().all(|id| id.len() <= Choice::MAX_ID && !id.contains('\0'));
            check(is_good, n, "choiceIds", "must be at most 50 ids of choices");
            check(answer.value.is_none(), n, "value", "must not be given together with choiceIds");
        }
        if let Some(AnswerValue::Text(text)) = &answer.value {
            check(text.chars().count() <= AnswerValue::MAX_TEXT, n, "value", "must be at most 2000 characters long");
            check(!text.contains('\0'), n, "value", "must not hold the character NUL");
        }
    }
    errors
}
