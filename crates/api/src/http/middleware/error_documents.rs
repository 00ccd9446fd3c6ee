//! A problem document (RFC 9457) for every error.

use actix_web::{
    HttpRequest, HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::ServiceResponse,
    error::InternalError,
    http::{
        StatusCode,
        header::{ACCEPT, CONTENT_TYPE},
    },
};

use crate::http::{page::Pages, problem::Problem};

/// Replaces an error that is no problem document yet by one: actix's own errors, and statuses without a body.
pub(super) fn replace_errors<B: MessageBody>(
    response: ServiceResponse<B>,
    id: &str,
) -> ServiceResponse<EitherBody<B, BoxBody>> {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response.map_into_left_body();
    }
    let problem = match response.response().error() {
        Some(error) => Problem::of(error),
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

fn plain(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::not_found(),
        StatusCode::METHOD_NOT_ALLOWED => Problem::new(status, "this address does not take this method"),
        _ => Problem::new(status, "the request was not done"),
    }
}

/// Returns the error with a problem document as its answer.
pub(super) fn with_document(
    error: &actix_web::Error,
    id: &str,
    finish: impl FnOnce(HttpResponse) -> HttpResponse,
) -> actix_web::Error {
    let problem = Problem::of(error);
    let response = finish(problem.respond(Some(id)));
    InternalError::from_response(problem, response).into()
}

/// Answers at addresses that no route has: with a page where a browser asks for one.
pub(crate) async fn no_route(request: HttpRequest, pages: Pages) -> Result<HttpResponse, Problem> {
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_page = accept.contains("text/html") && !request.path().starts_with("/api/");
    let answer = Err(Problem::not_found());
    if is_page { Ok(pages.shown(answer)) } else { answer }
}
