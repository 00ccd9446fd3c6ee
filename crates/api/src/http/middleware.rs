//! Around every request: an id, a line of log, metrics, a time limit, headers, and a problem document for every error.

mod connection;
mod cors;
mod detached;
mod error_documents;
mod head;
mod measurement;
mod request_body;
mod security_headers;

use std::{any::Any, panic::AssertUnwindSafe, time::Duration};

use actix_web::{
    body::{BoxBody, EitherBody, MessageBody},
    dev::{ServiceRequest, ServiceResponse},
    http::{
        ConnectionType, StatusCode,
        header::{HeaderMap, HeaderName, HeaderValue},
    },
    middleware::Next,
    web,
};
use futures_util::FutureExt;
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

pub(crate) use self::{connection::Connection, cors::cors, detached::detached, error_documents::no_route, head::head};
use self::{measurement::Measurement, request_body::RequestBody};
use super::{problem::Problem, public_path::PublicPath};
use crate::state::State;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Time allowed for a request, its body included.
const TIMEOUT: Duration = Duration::from_secs(30);

/// Gives the request an id, runs it, logs and measures it, and turns every error into a problem document.
pub(crate) async fn handle<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, actix_web::Error> {
    let id = uuid::Uuid::now_v7().to_string();
    let state = request.app_data::<web::Data<State>>().cloned();
    let public_path = state.as_ref().map(|state| &state.public_path);
    let set_headers = |headers: &mut HeaderMap| set_headers(headers, &id, public_path);
    let measured = Measurement::begin(&request);
    let span = tracing::info_span!("request", request_id = %id, trace_id = measured.span.trace_id());
    let exchange = Exchange::begin(&mut request);
    let answer = async {
        if exchange.connection.is_ending() {
            return Err(Problem::unavailable("this connection is being closed").into());
        }
        run(next.call(request)).await
    };
    let answered = measured.span.around(answer.instrument(span.clone())).await;
    // What failed without an answer gets one here: a panic, a timeout.
    let mut response = match answered {
        Ok(response) => error_documents::replace_errors(response, &id),
        Err(error) => {
            let status = error.as_response_error().status_code();
            measured.record("unknown", status); // actix returns no request
            tracing::info!(request_id = id, status = status.as_u16(), "Request failed");
            let body = exchange.finish(true).await;
            return Err(error_documents::with_document(&error, &id, |mut response| {
                set_headers(response.headers_mut());
                let Some(body) = body else { return response };
                response.head_mut().set_connection_type(ConnectionType::Close);
                response.map_body(|_, answer| body.hold_during(answer))
            }));
        }
    };
    set_headers(response.headers_mut());
    let route = response.request().match_pattern().unwrap_or_else(|| "unknown".to_owned());
    let (status, ms) = (response.status(), u64::try_from(measured.elapsed().as_millis()).unwrap_or(u64::MAX));
    let method = measured.method();
    tracing::info!(parent: &span, %method, route, status = status.as_u16(), ms, "Request answered");
    measured.record(&route, status);
    let Some(body) = exchange.finish(status == StatusCode::REQUEST_TIMEOUT).await else { return Ok(response) };
    response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    Ok(response.map_body(|_, answer| EitherBody::right(body.hold_during(answer))))
}

/// A request and its answer on their connection.
struct Exchange {
    connection: Connection,
    is_last: bool,
    stop: Option<web::Data<CancellationToken>>,
    body: RequestBody,
}

impl Exchange {
    fn begin(request: &mut ServiceRequest) -> Self {
        Self {
            connection: request.conn_data::<Connection>().cloned().unwrap_or_default(),
            is_last: request.head().connection_type() == ConnectionType::Close,
            stop: request.app_data::<web::Data<CancellationToken>>().cloned(),
            body: RequestBody::lend(request),
        }
    }

    /// Returns the request's body where its answer is the connection's last.
    async fn finish(mut self, is_late: bool) -> Option<RequestBody> {
        let is_read = self.body.finish(is_late).await;
        // A client that kept this connection might send its next request into one that is being closed.
        let is_stopping = self.stop.is_some_and(|stop| stop.is_cancelled());
        if is_read && !self.is_last && !is_stopping && !self.connection.is_ending() {
            return None;
        }
        self.connection.end();
        Some(self.body)
    }
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
        http::header::{CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS},
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
