//! `/exams/{id}/accommodations`: more time for single students, granted before they start.

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use examhall_core::{Accommodation, AccountName, Role, UserId};
use examhall_store::{Accommodated, Listed};
use futures_util::future::LocalBoxFuture;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    http::{
        authorized::Authorized,
        body::JsonBody,
        guards::OwnedExam,
        list::{Items, Paging},
        problem::{FieldError, Problem},
        respond::NoContent,
    },
    openapi::{Description, Input, Operation, delete, get, put},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    let one = "/exams/{id}/accommodations/{student}";
    vec![
        get("/exams/{id}/accommodations", "listAccommodations", "List students with more time", list),
        put(one, "accommodate", "Grant a student more time", grant),
        delete(one, "removeAccommodation", "Take the time back that a student was granted", remove),
    ]
}

/// The student that an address names, by id or by e-mail address.
struct NamedStudent(UserId);

impl FromRequest for NamedStudent {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let name = request.match_info().get("student").unwrap_or_default().to_owned();
        let state = request.app_data::<web::Data<State>>().cloned();
        Box::pin(async move {
            let state = state.ok_or_else(|| Problem::internal(&"the application has no state"))?;
            let account = if let Ok(id) = name.parse::<UserId>() {
                Some(state.store.accounts.get(id).await?.value)
            } else {
                let name = AccountName::parse(&name).map_err(|_| Problem::not_found())?;
                state.store.accounts.by_email(&name).await?
            };
            let student = account.filter(|account| account.role == Role::Student).ok_or_else(Problem::not_found)?;
            Ok(Self(student.id))
        })
    }
}

impl Input for NamedStudent {
    fn describe(description: &mut Description) {
        description.path::<String>("student");
    }
}

/// More time for a student: a factor of the exam's duration, minutes on top of it, or both.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewAccommodation", example = json!({"factor": 1.25}))]
struct Granted {
    /// In steps of 0.01.
    #[garde(range(min = 1.0, max = Accommodation::MAX_FACTOR))]
    factor: Option<f64>,
    #[garde(range(max = Accommodation::MAX_MINUTES))]
    minutes: Option<u32>,
}

/// A student with more time than others have.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct StudentAccommodation {
    user_id: UserId,
    name: String,
    email: String,
    #[serde(flatten)]
    accommodation: Accommodation,
}

async fn list(
    state: web::Data<State>,
    owned: OwnedExam,
    Paging(page): Paging,
) -> Result<web::Json<Items<StudentAccommodation>>, Problem> {
    let Listed { items, next } = state.store.exams.accommodations(owned.exam.id, page).await?;
    Ok(Items::of(Listed { items: items.into_iter().map(StudentAccommodation::from).collect(), next }))
}

async fn grant(
    state: web::Data<State>,
    Authorized(owned, (NamedStudent(student), JsonBody(body))): Authorized<
        OwnedExam,
        (NamedStudent, JsonBody<Granted>),
    >,
) -> Result<web::Json<Accommodation>, Problem> {
    let Granted { factor, minutes } = body;
    if factor.is_none() && minutes.is_none() {
        let detail = "must be given, or minutes".to_owned();
        return Err(Problem::invalid(vec![FieldError { pointer: "/factor".to_owned(), detail }]));
    }
    let granted = Accommodation { factor, minutes }.normalised();
    state.store.exams.accommodate(owned.exam.id, student, Some(granted), owned.viewer.id, now()).await?;
    Ok(web::Json(granted))
}

async fn remove(
    state: web::Data<State>,
    Authorized(owned, NamedStudent(student)): Authorized<OwnedExam, NamedStudent>,
) -> Result<NoContent, Problem> {
    let had_any = state.store.exams.accommodate(owned.exam.id, student, None, owned.viewer.id, now()).await?;
    if had_any { Ok(NoContent) } else { Err(Problem::not_found()) }
}

impl From<Accommodated> for StudentAccommodation {
    fn from(one: Accommodated) -> Self {
        let Accommodated { user, name, email, accommodation } = one;
        Self { user_id: user, name, email, accommodation }
    }
}
