//! Around every request: an id, a line of log, metrics, a time limit, headers, and a problem document for every error.

mod cors;
mod error_documents;
mod head;
mod measurement;
mod security_headers;

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use actix_web::{
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use self::measurement::Measurement;
pub(crate) use self::{cors::cors, error_documents::no_route, head::head};
use super::{problem::Problem, public_path::PublicPath};
use crate::state::State;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Time allowed for a request, its body included.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Gives the request an id, runs it, logs and measures it, and turns every error into a problem document.
pub(crate) async fn handle<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let id = uuid::Uuid::now_v7().to_string();
    let state = request.app_data::<web::Data<State>>().cloned();
    let public_path = state.as_ref().map(|state| &state.public_path);
    let set_headers = |headers: &mut HeaderMap| set_headers(headers, &id, public_path);
    let measured = Measurement::begin(&request);
    let span = tracing::info_span!("request", request_id = %id, trace_id = measured.span.trace_id());
    let stop = request.app_data::<web::Data<CancellationToken>>().cloned();
    let answered = measured.span.around(run(next.call(request)).instrument(span.clone())).await;
    // What failed without an answer gets one here: a panic, a timeout.
    let mut response = match answered {
        Ok(response) => error_documents::replace_errors(response, &id),
        Err(error) => {
            let status = error.as_response_error().status_code();
            measured.record("unknown", status); // actix returns no request
            tracing::info!(request_id = id, status = status.as_u16(), "Request failed");
            return Err(error_documents::with_document(&error, &id, set_headers));
        }
    };
    set_headers(response.headers_mut());
    let route = response.request().match_pattern().unwrap_or_else(|| "unknown".to_owned());
    let (status, ms) = (response.status(), u64::try_from(measured.elapsed().as_millis()).unwrap_or(u64::MAX));
    let method = measured.method();
    tracing::info!(parent: &span, %method, route, status = status.as_u16(), ms, "Request answered");
    measured.record(&route, status);
    if stop.is_some_and(|stop| stop.is_cancelled()) {
        // A client that kept this connection might send its next request into one that is being closed.
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

fn set_headers(headers: &mut HeaderMap, id: &str, public_path: Option<&PublicPath>) {
    security_headers::set(headers);
    if let Ok(value) = HeaderValue::from_str(id) {
        headers.insert(REQUEST_ID, value);
    }
    if let Some(public_path) = public_path {
        public_path.prefix_location(headers);
    }
}

/// Runs a request for a limited time; a panic in it is an error of this request and of no other.
async fn run<B>(
    request: impl Future<Output = Result<ServiceResponse<B>, actix_web::Error>>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let caught = AssertUnwindSafe(request).catch_unwind();
    match tokio::time::timeout(TIMEOUT, caught).await {
        Ok(Ok(answered)) => answered,
        Ok(Err(panic)) => Err(Problem::internal(&format!("a panic: {}", message_of(&*panic))).into()),
        Err(_) => Err(Problem::unavailable("this took too long").into()),
    }
}

fn message_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

#[cfg(test)]
mod tests {
    use actix_web::{
        App,
        http::{
            StatusCode,
            header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
        },
        middleware::from_fn,
        test, web,
    };

    use super::*;

    #[actix_web::test]
    async fn a_panic_is_a_problem_of_its_own_request() {
        let app = App::new()
            .wrap(from_fn(handle))
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
