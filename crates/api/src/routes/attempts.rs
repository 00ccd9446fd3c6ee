//! `/attempts`: start, save, hand in.

use actix_web::{HttpResponse, web};
use examhall_cache::Cached;
use examhall_core::{
    Answer, AnswerValue, Attempt, AttemptId, ExamId, OrderedQuestion, QuestionSheetKey, Sight, Timestamp, Ungraded,
    Viewer, shuffled,
};
use examhall_store::{Error, SaveReceipt};
use garde::Validate;
use serde::{Deserialize, Serialize};

use super::questions::cached_sheet;
use crate::{
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::{Id, LoggedIn},
        guards::Student,
        list::{self, Paging},
        object::objects,
        problem::{FieldError, Problem},
        respond,
    },
    state::{State, now},
    submission,
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::resource("/exams/{id}/attempts").route(web::post().to(start)).route(web::get().to(mine)))
        .service(web::resource("/attempts/{id}").route(web::get().to(read)))
        .service(web::resource("/attempts/{id}/answers").route(web::put().to(save)).route(web::patch().to(merge)))
        .service(web::resource("/attempts/{id}/submit").route(web::post().to(submit)));
}

/// What `PUT` and `PATCH /attempts/{id}/answers` take: all answers in place of those before, or those that changed.
#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
struct Answers {
    #[garde(range(min = 0, max = Attempt::MAX_SEQ))]
    seq: i64,
    #[garde(length(max = 1000))]
    #[serde(deserialize_with = "objects")]
    answers: Vec<Answer>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SavedAnswers {
    seq: i64,
    saved_at: Timestamp,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    ungraded: Vec<Ungraded>,
}

/// An attempt with its answers, for whoever comes back to it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FullAttempt {
    #[serde(flatten)]
    attempt: Attempt,
    seq: i64,
    answers: Vec<Answer>,
}

async fn start(state: web::Data<State>, Student(viewer): Student, Id(id): Id<ExamId>) -> Result<HttpResponse, Problem> {
    let (sheet, _) = cached_sheet(&state, id).await?; // first: what is committed must be answered
    let mut started = state.store.attempts.start(id, viewer.id, now()).await;
    if let Err(Error::AttemptOpen(open)) = started {
        let (open, _) = state.store.attempts.get(open).await?;
        if open.takes_answers(now()) {
            return Err(Error::AttemptOpen(open.id).into());
        }
        submission::submit(&state, open.id, viewer.id).await?; // its time is over: the sweeper has not come to it yet
        started = state.store.attempts.start(id, viewer.id, now()).await;
    }
    if matches!(started, Err(Error::NotOpen)) {
        let exam = state.store.exams.get(id).await?.value;
        if exam.access().sheet_for(viewer, now()) == Sight::Hidden {
            return Err(Problem::not_found());
        }
    }
    let (exam, mut attempt) = started?;
    if exam.shuffle {
        // Read again: until the attempt was there, questions could be changed.
        let sheet = cached_sheet(&state, id).await.map_or(sheet, |(sheet, _)| sheet);
        attempt.order = Some(order(attempt.id, &sheet)?);
    }
    Ok(respond::created(format!("/api/v1/attempts/{}", attempt.id), None, &attempt))
}

fn order(attempt: AttemptId, sheet: &Cached<QuestionSheetKey>) -> Result<Vec<OrderedQuestion>, Problem> {
    let sheet = sheet.value().map_err(|error| Problem::internal(&error))?;
    Ok(shuffled(attempt, &sheet.questions))
}

async fn mine(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ExamId>,
    Paging(page): Paging,
) -> Result<HttpResponse, Problem> {
    Ok(list::answer(state.store.attempts.of_student(id, viewer.id, page).await?))
}

async fn read(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<AttemptId>,
) -> Result<HttpResponse, Problem> {
    let (mut attempt, saved) = state.store.attempts.get(id).await?;
    let exam = state.store.exams.get(attempt.exam_id).await?.value;
    if attempt.user_id != viewer.id && !exam.access().is_owned_by(viewer) {
        return Err(another_students());
    }
    if exam.shuffle {
        let (sheet, _) = cached_sheet(&state, attempt.exam_id).await?;
        attempt.order = Some(order(attempt.id, &sheet)?);
    }
    Ok(HttpResponse::Ok().json(FullAttempt { attempt, seq: saved.seq.max(0), answers: saved.answers }))
}

/// Changes of answers. Whose attempt it is costs a query, which a good body does without: see [`validated`].
type Change = Authorized<Student, (Id<AttemptId>, Result<JsonBody<Answers>, Problem>)>;

async fn save(
    state: web::Data<State>,
    Authorized(Student(viewer), (Id(id), body)): Change,
) -> Result<HttpResponse, Problem> {
    let body = validated(&state, id, viewer, body).await?;
    let saved = state.store.attempts.save(id, viewer.id, body.seq, &body.answers, now()).await;
    saved_answer(&state, id, viewer, saved, &body.answers).await
}

async fn merge(
    state: web::Data<State>,
    Authorized(Student(viewer), (Id(id), body)): Change,
) -> Result<HttpResponse, Problem> {
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
) -> Result<HttpResponse, Problem> {
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
    Ok(HttpResponse::Ok().json(SavedAnswers { seq, saved_at, ungraded }))
}

async fn submit(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<AttemptId>,
) -> Result<HttpResponse, Problem> {
    match submission::submit(&state, id, viewer.id).await {
        Err(Error::NotFound) => Err(not_mine(&state, id, viewer).await),
        handed_in => Ok(HttpResponse::Ok().json(handed_in?)),
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
            let is_good = ids.len() <= 50 && ids.iter().all(|id| id.len() <= 64 && !id.contains('\0'));
            check(is_good, n, "choiceIds", "must be at most 50 ids of choices");
            check(answer.value.is_none(), n, "value", "must not be given beside choiceIds");
        }
        if let Some(AnswerValue::Text(text)) = &answer.value {
            check(text.chars().count() <= 2000, n, "value", "must be at most 2000 characters long");
            check(!text.contains('\0'), n, "value", "must not hold the character NUL");
        }
    }
    errors
}
