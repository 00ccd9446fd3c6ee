//! Around every request: an id, a line of log, and a problem document for every error.

use std::time::Instant;

use actix_web::{
    HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        StatusCode,
        header::{CONTENT_TYPE, HeaderName, HeaderValue},
    },
    middleware::Next,
};
use tracing::Instrument;

use super::problem::Problem;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

type Finished<B> = ServiceResponse<EitherBody<B, BoxBody>>;

/// Gives the request an id, runs it, logs how it went, and turns every error into a problem document.
pub(crate) async fn finish<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<Finished<B>, actix_web::Error> {
    let id = uuid::Uuid::now_v7().to_string();
    let (started, method) = (Instant::now(), request.method().clone());
    let span = tracing::info_span!("request", request_id = %id);
    let mut response = as_problem(next.call(request).instrument(span.clone()).await?, &id);
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = response.request().match_pattern().unwrap_or_else(|| "unknown".to_owned());
    let (status, ms) = (response.status().as_u16(), u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    tracing::info!(parent: &span, %method, route, status, ms, "Request answered");
    Ok(response)
}

/// An error that is no problem document yet becomes one: those of actix itself, and statuses without a body.
fn as_problem<B: MessageBody>(response: ServiceResponse<B>, id: &str) -> Finished<B> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response.map_into_left_body();
    }
    let problem = match response.response().error() {
        Some(error) => problem_of(error),
        None if response.headers().contains_key(CONTENT_TYPE) => return response.map_into_left_body(),
        None => plain(status),
    };
    let (request, old) = response.into_parts();
    let mut new = problem.respond(Some(id));
    for (name, value) in old.headers() {
        if name != CONTENT_TYPE {
            new.headers_mut().insert(name.clone(), value.clone());
        }
    }
    ServiceResponse::new(request, new).map_into_right_body()
}

fn problem_of(error: &actix_web::Error) -> Problem {
    error.as_error::<Problem>().cloned().unwrap_or_else(|| {
        let status = error.as_response_error().status_code();
        if status.is_server_error() { Problem::internal(error) } else { Problem::new(status, error.to_string()) }
    })
}

fn plain(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(status, "this address does not take this method"),
        _ => Problem::new(status, "the request was not done"),
    }
}

/// What answers at addresses that no route has.
pub(crate) async fn nowhere() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}
