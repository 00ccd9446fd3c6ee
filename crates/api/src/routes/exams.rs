//! `/exams`: written by authors, read by all.

use actix_web::{HttpRequest, HttpResponse, web};
use examhall_cache::{Cached, Source};
use examhall_core::{ExamId, ExamKey, ExamStatus, Patch, Sight, Timestamp, UserId};
use examhall_store::{ExamChange, NewExam};
use garde::Validate;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::{Id, IfMatch, LoggedIn},
        guards::{Author, OwnedExam},
        idempotency::IdempotencyKey,
        list::{self, Paging},
        problem::{FieldError, Problem},
        respond,
        text::{has_no_nul, is_one_line},
    },
    loaders::load_exam,
    state::{State, now},
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(web::resource("/exams").route(web::post().to(create)).route(web::get().to(all)))
        .service(
            web::resource("/exams/{id}")
                .route(web::get().to(read))
                .route(web::patch().to(change))
                .route(web::delete().to(delete)),
        )
        .service(web::resource("/exams/{id}/publish").route(web::post().to(publish)))
        .service(web::resource("/exams/{id}/close").route(web::post().to(close)));
}

/// What `POST /exams` takes.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Creation {
    #[garde(length(chars, min = 1, max = 200), custom(is_one_line))]
    title: String,
    #[garde(length(chars, max = 10_000), custom(has_no_nul))]
    description: String,
    #[garde(range(min = 1, max = 10_080))]
    duration_minutes: u32,
    #[garde(inner(range(min = 1, max = 100)))]
    max_attempts: Option<u32>,
    #[garde(inner(range(max = 100)))]
    pass_mark: Option<u8>,
    #[garde(skip)]
    opens_at: Option<Timestamp>,
    #[garde(skip)]
    closes_at: Option<Timestamp>,
    #[garde(skip)]
    #[serde(default)]
    shuffle: bool,
}

/// What `PATCH /exams/{id}` may hold; a bound of the window is taken away by `null`.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Change {
    #[garde(inner(length(chars, min = 1, max = 200), custom(is_one_line)))]
    title: Option<String>,
    #[garde(inner(length(chars, max = 10_000), custom(has_no_nul)))]
    description: Option<String>,
    #[garde(inner(range(min = 1, max = 10_080)))]
    duration_minutes: Option<u32>,
    #[garde(inner(range(min = 1, max = 100)))]
    max_attempts: Option<u32>,
    #[garde(inner(range(max = 100)))]
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

impl Creation {
    fn into_exam(self, author_id: UserId) -> NewExam {
        NewExam {
            author_id,
            title: self.title,
            description: self.description,
            duration_minutes: self.duration_minutes,
            max_attempts: self.max_attempts.unwrap_or(1),
            pass_mark: self.pass_mark.unwrap_or(50),
            opens_at: self.opens_at,
            closes_at: self.closes_at,
            shuffle: self.shuffle,
            status: ExamStatus::Draft,
            questions: Vec::new(),
        }
    }
}

/// An exam as it is asked for, with every default.
fn asked(new: &NewExam) -> Value {
    let window = (new.opens_at, new.closes_at);
    json!([new.title, new.description, new.duration_minutes, new.max_attempts, new.pass_mark, window, new.shuffle])
}

async fn create(
    state: web::Data<State>,
    Authorized(Author(viewer), (key, JsonBody(body))): Authorized<Author, (IdempotencyKey, JsonBody<Creation>)>,
) -> Result<HttpResponse, Problem> {
    check_window(body.opens_at, body.closes_at)?;
    let new = body.into_exam(viewer.id);
    if let Some(request) = key.request(viewer.id, "POST /exams", &asked(&new)) {
        let first = state.store.exams.create_idempotent(&new, &request, now()).await?;
        return Ok(respond::created_before(format!("/api/v1/exams/{}", first.id), first));
    }
    let made = state.store.exams.create(&new, now()).await?;
    Ok(respond::created(format!("/api/v1/exams/{}", made.value.id), Some(made.version), &made.value))
}

async fn all(
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Paging(page): Paging,
) -> Result<HttpResponse, Problem> {
    Ok(list::answer(state.store.exams.list(viewer, page).await?))
}

async fn read(
    request: HttpRequest,
    state: web::Data<State>,
    LoggedIn(viewer): LoggedIn,
    Id(id): Id<ExamId>,
) -> Result<HttpResponse, Problem> {
    let (cached, source) = cached_exam(&state, id).await?;
    match cached.head().sheet_for(viewer, now()) {
        Sight::Hidden => Err(Problem::not_found()),
        Sight::Allowed | Sight::NotOpen => Ok(respond::cached(&request, &cached, source)),
    }
}

/// The exam as everybody reads it; its head says who may.
pub(super) async fn cached_exam(state: &web::Data<State>, id: ExamId) -> Result<(Cached<ExamKey>, Source), Problem> {
    let database = state.clone();
    let load = move || load_exam(database.store.clone(), id);
    let (cached, source) = state.cache.get_or_load(&ExamKey(id), load).await?;
    Ok((cached.ok_or_else(Problem::not_found)?, source))
}

async fn change(
    state: web::Data<State>,
    Authorized(owned, (versions, JsonBody(body))): Authorized<OwnedExam, (IfMatch, JsonBody<Change>)>,
) -> Result<HttpResponse, Problem> {
    let (current, expected) = (owned.exam, versions.expected(owned.version)?);
    check_window(body.opens_at.applied_to(current.opens_at), body.closes_at.applied_to(current.closes_at))?;
    let changed = state.store.exams.change(current.id, &body.into(), expected, now()).await?;
    Ok(respond::versioned(HttpResponse::Ok(), changed.version, &changed.value))
}

async fn delete(
    state: web::Data<State>,
    Authorized(owned, versions): Authorized<OwnedExam, IfMatch>,
) -> Result<HttpResponse, Problem> {
    state.store.exams.delete(owned.exam.id, versions.expected(owned.version)?, now()).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn publish(
    state: web::Data<State>,
    Authorized(owned, versions): Authorized<OwnedExam, IfMatch>,
) -> Result<HttpResponse, Problem> {
    advance(&state, owned, &versions, ExamStatus::Published).await
}

async fn close(
    state: web::Data<State>,
    Authorized(owned, versions): Authorized<OwnedExam, IfMatch>,
) -> Result<HttpResponse, Problem> {
    advance(&state, owned, &versions, ExamStatus::Closed).await
}

async fn advance(state: &State, owned: OwnedExam, versions: &IfMatch, to: ExamStatus) -> Result<HttpResponse, Problem> {
    let expected = versions.expected(owned.version)?;
    let changed = state.store.exams.advance(owned.exam.id, to, expected, now()).await?;
    Ok(respond::versioned(HttpResponse::Ok(), changed.version, &changed.value))
}

fn check_window(opens_at: Option<Timestamp>, closes_at: Option<Timestamp>) -> Result<(), Problem> {
    if opens_at.is_some_and(|opens_at| closes_at.is_some_and(|closes_at| closes_at <= opens_at)) {
        let detail = "must be after opensAt".to_owned();
        return Err(Problem::invalid(vec![FieldError { pointer: "/closesAt".to_owned(), detail }]));
    }
    Ok(())
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
