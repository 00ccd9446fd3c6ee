//! `/exams`: the question sheet, read through the cache, and changes, which invalidate it.

use actix_web::{HttpRequest, HttpResponse, http::header::ETAG, web};
use examhall_core::{ExamId, Patch, QuestionSheetKey, Sight, Timestamp};
use examhall_store::ExamChange;
use garde::Validate;
use serde::Deserialize;

use crate::{
    http::{
        extract::{IfMatch, JsonBody, LoggedIn},
        problem::{FieldError, Problem},
        respond,
    },
    state::{State, now},
    upkeep::load_sheet,
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::resource("/exams/{id}").route(web::patch().to(change)))
        .service(web::resource("/exams/{id}/questions").route(web::get().to(questions)));
}

/// What `PATCH /exams/{id}` may hold; a bound of the window is taken away by `null`.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    #[garde(length(chars, min = 1, max = 200))]
    title: Option<String>,
    #[garde(length(chars, max = 10_000))]
    description: Option<String>,
    #[garde(range(min = 1, max = 10_080))]
    duration_minutes: Option<u32>,
    #[garde(range(min = 1, max = 100))]
    max_attempts: Option<u32>,
    #[garde(range(max = 100))]
    pass_mark: Option<u8>,
    #[garde(skip)]
    #[serde(default)]
    opens_at: Patch<Timestamp>,
    #[garde(skip)]
    #[serde(default)]
    closes_at: Patch<Timestamp>,
    #[garde(skip)]
    shuffle: Option<bool>,
}

async fn questions(
    request: HttpRequest,
    state: web::Data<State>,
    id: web::Path<String>,
    LoggedIn(viewer): LoggedIn,
) -> Result<HttpResponse, Problem> {
    let id = parse_id(&id)?;
    let store = state.store.clone();
    let (cached, source) = state.cache.get_or_load(&QuestionSheetKey(id), move || load_sheet(store, id)).await?;
    let cached = cached.ok_or_else(Problem::not_found)?;
    match cached.head().sheet_for(viewer, now()) {
        Sight::Allowed => Ok(respond::cached(&request, &cached, source)),
        Sight::NotOpen => Err(Problem::forbidden("the exam is not open")),
        Sight::Hidden => Err(Problem::not_found()),
    }
}

async fn change(
    state: web::Data<State>,
    id: web::Path<String>,
    LoggedIn(viewer): LoggedIn,
    IfMatch(expected): IfMatch,
    JsonBody(body): JsonBody<Change>,
) -> Result<HttpResponse, Problem> {
    let id = parse_id(&id)?;
    let current = state.store.exams.get(id).await?.value;
    let access = current.access();
    if !access.is_owned_by(viewer) {
        return Err(match access.sheet_for(viewer, now()) {
            Sight::Hidden => Problem::not_found(),
            Sight::Allowed | Sight::NotOpen => Problem::forbidden("only its author may change an exam"),
        });
    }
    let (opens_at, closes_at) =
        (body.opens_at.applied_to(current.opens_at), body.closes_at.applied_to(current.closes_at));
    if opens_at.is_some_and(|opens_at| closes_at.is_some_and(|closes_at| closes_at <= opens_at)) {
        let detail = "must be after opensAt".to_owned();
        return Err(Problem::invalid(vec![FieldError { pointer: "/closesAt".to_owned(), detail }]));
    }
    let changed = state.store.exams.change(id, &body.into(), expected, now()).await?;
    Ok(HttpResponse::Ok().insert_header((ETAG, format!("\"{}\"", changed.version))).json(changed.value))
}

fn parse_id(text: &str) -> Result<ExamId, Problem> {
    text.parse().map_err(|_| Problem::not_found())
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
        }
    }
}
