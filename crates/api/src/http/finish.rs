//! Around every request: an id, a line of log, and a problem document for every error.

use std::{
    any::Any,
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use actix_web::{
    HttpResponse,
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    error::InternalError,
    http::{
        ConnectionType, Method, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, REFERRER_POLICY,
            STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::Next,
    web,
};
use examhall_boot::traces::{Parent, Span, SpanKind};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::{client, problem::Problem};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// How long a request may take, its body included.
const PATIENCE: Duration = Duration::from_secs(30);

type Finished<B> = ServiceResponse<EitherBody<B, BoxBody>>;

/// Gives the request an id, runs it, logs how it went, and turns every error into a problem document.
pub(crate) async fn finish<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<Finished<B>, actix_web::Error> {
    let id = uuid::Uuid::now_v7().to_string();
    let (started, method) = (Instant::now(), request.method().clone());
    let traced = Span::begin(SpanKind::Server, "HTTP", || cause(&request));
    let span = tracing::info_span!("request", request_id = %id, trace_id = traced.trace_id());
    let stop = request.app_data::<web::Data<CancellationToken>>().cloned();
    let in_flight = InFlight::begin();
    let answered = traced.around(run(next.call(request)).instrument(span.clone())).await;
    // What failed without an answer gets one here: a panic, a time-out.
    let mut response = match answered {
        Ok(response) => as_problem(response, &id),
        Err(error) => {
            let status = error.as_response_error().status_code();
            count(&method, "unknown", status, started.elapsed()); // actix gives no request back
            describe(&traced, &method, "unknown", status);
            return Err(failed(&error, &id));
        }
    };
    protect(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let route = response.request().match_pattern().unwrap_or_else(|| "unknown".to_owned());
    let (status, ms) = (response.status().as_u16(), u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX));
    tracing::info!(parent: &span, %method, route, status, ms, "Request answered");
    count(&method, &route, response.status(), started.elapsed());
    describe(&traced, &method, &route, response.status());
    drop(in_flight);
    if stop.is_some_and(|stop| stop.is_cancelled()) {
        // A client that kept this connection might send its next request into one that is being closed.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

/// The trace that a request is part of, where a proxy that is trusted says so: else strangers could begin traces.
fn cause(request: &ServiceRequest) -> Parent {
    Parent::from_headers(|name| {
        let value = request.headers().get(name)?.to_str().ok()?;
        client::is_behind_trusted_proxy(request.request()).then_some(value)
    })
}

/// By the semantic conventions for HTTP.
fn describe(span: &Span, method: &Method, route: &str, status: StatusCode) {
    if !span.is_recorded() {
        return;
    }
    let method = name_of(method);
    span.rename(format!("{method} {route}"));
    span.set("http.request.method", method);
    span.set("http.route", route.to_owned());
    span.set("http.response.status_code", i64::from(status.as_u16()));
    if status.is_server_error() {
        span.fail("");
    }
}

/// Rate, errors and durations. `route` is the pattern of a path, so that no id becomes a label.
fn count(method: &Method, route: &str, status: StatusCode, took: Duration) {
    let method = name_of(method);
    let (route, status) = (route.to_owned(), status.as_u16().to_string());
    metrics::counter!("http_requests_total", "method" => method, "route" => route.clone(), "status" => status)
        .increment(1);
    metrics::histogram!("http_request_duration_seconds", "method" => method, "route" => route).record(took);
}

fn name_of(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other", // a client may send any word
    }
}

/// A request that is not answered yet.
struct InFlight;

impl InFlight {
    fn begin() -> Self {
        metrics::gauge!("http_requests_in_flight").increment(1);
        Self
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        metrics::gauge!("http_requests_in_flight").decrement(1);
    }
}

/// Runs a request for a limited time; a panic in it is an error of this request and of no other.
async fn run<B>(
    request: impl Future<Output = Result<ServiceResponse<B>, actix_web::Error>>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let caught = AssertUnwindSafe(request).catch_unwind();
    match tokio::time::timeout(PATIENCE, caught).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(panic)) => Err(Problem::internal(&format!("a panic: {}", message_of(&*panic))).into()),
        Err(_) => Err(Problem::unavailable("this took too long").into()),
    }
}

fn failed(error: &actix_web::Error, id: &str) -> actix_web::Error {
    let problem = Problem::of(error);
    let mut response = problem.respond(Some(id));
    protect(response.headers_mut());
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    tracing::info!(request_id = id, status = response.status().as_u16(), "Request failed");
    InternalError::from_response(problem, response).into()
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Tells browsers to take nothing for more than it is. What a route has set stays.
fn protect(headers: &mut HeaderMap) {
    for (name, value) in [
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
        (STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
        (CACHE_CONTROL, "no-store"),
    ] {
        if !headers.contains_key(&name) {
            headers.insert(name, HeaderValue::from_static(value));
        }
    }
}

/// An error that is no problem document yet becomes one: those of actix itself, and statuses without a body.
fn as_problem<B: MessageBody>(response: ServiceResponse<B>, id: &str) -> Finished<B> {
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

/// What answers at addresses that no route has.
pub(crate) async fn nowhere() -> Result<HttpResponse, Problem> {
    Err(Problem::not_found())
}

#[cfg(test)]
mod tests {
    use actix_web::{App, middleware::from_fn, test, web};

    use super::*;

    #[actix_web::test]
    async fn a_panic_is_a_problem_of_its_own_request() {
        let app = App::new()
            .wrap(from_fn(finish))
            .route("/fine", web::get().to(|| async { "fine" }))
            .route("/panic", web::get().to(|| async { "x".parse::<u8>().expect("planted-secret").to_string() }));
        let app = test::init_service(app).await;
        for _ in 0..2 {
            let failed = test::try_call_service(&app, test::TestRequest::get().uri("/panic").to_request()).await;
            let answer = failed.expect_err("the server makes the answer of it").error_response();
            assert_eq!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR);
            assert_eq!(answer.headers().get(CONTENT_TYPE).expect("a type"), "application/problem+json");
            assert!(answer.headers().contains_key(REQUEST_ID));
            let body = actix_web::body::to_bytes(answer.into_body()).await.expect("a body");
            assert!(!body.windows(7).any(|bytes| bytes == b"planted"), "{body:?}");
        }
        let fine = test::call_service(&app, test::TestRequest::get().uri("/fine").to_request()).await;
        assert_eq!(fine.status(), StatusCode::OK);
        assert_eq!(fine.headers().get(X_CONTENT_TYPE_OPTIONS).expect("a header"), "nosniff");
    }
}
