//! `/exams/{id}/seat`: a student exchanges the exam's code for a seat.

use actix_web::{FromRequest, HttpRequest, web};
use examhall_core::{Admission, ExamId, ExamStatus};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::exams::MAX_CODE;
use crate::{
    http::{authorized::Authorized, body::JsonBody, client::Client, extract::Id, guards::Student, problem::Problem},
    openapi::{Operation, post},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![post("/exams/{id}/seat", "takeSeat", "Exchange an exam's code for a seat", take)]
}

/// What a student was told by their teacher.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "SeatRequest", example = json!({"code": "spring-2027"}))]
struct Asked {
    #[garde(length(chars, max = MAX_CODE))]
    code: String,
}

/// A student may sit the exam.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "TakenSeat")]
struct Taken {
    exam_id: ExamId,
    seat: bool,
}

async fn take(
    request: HttpRequest,
    state: web::Data<State>,
    Authorized(Student(viewer), (Id(id), JsonBody(body))): Authorized<Student, (Id<ExamId>, JsonBody<Asked>)>,
) -> Result<web::Json<Taken>, Problem> {
    let (exam, code) = state.store.seats.code(id).await?;
    if exam.status == ExamStatus::Draft {
        return Err(Problem::not_found());
    }
    let taken = web::Json(Taken { exam_id: id, seat: true });
    if exam.access == Admission::Open || state.store.seats.has(id, viewer.id).await? {
        return Ok(taken);
    }
    let Some(code) = code.filter(|_| exam.access == Admission::Code) else {
        return Err(examhall_store::Error::NoSeat(exam.access).into());
    };
    let Client(client) = Client::extract(&request).await?;
    let guess = state.limits.code(client, id, viewer.id).await?;
    let is_right = state.passwords.verify(client, body.code.trim().to_owned(), Some(code.clone())).await?;
    if !is_right || !state.store.seats.take(id, viewer.id, &code, now()).await? {
        return Err(Problem::forbidden("this is not the code of the exam"));
    }
    state.limits.was_right(guess).await;
    tracing::info!(exam_id = %id, user_id = %viewer.id, "Seat taken by code");
    Ok(taken)
}
