//! Metrics and traces of requests.

use std::time::{Duration, Instant};

use actix_web::{
    dev::ServiceRequest,
    http::{Method, StatusCode},
};
use examhall_boot::traces::{Parent, Span, SpanKind};

use crate::http::client;

/// A request while it is measured: counts as in flight until it is dropped.
pub(super) struct Measurement {
    pub(super) span: Span,
    started: Instant,
    method: Method,
}

impl Measurement {
    pub(super) fn begin(request: &ServiceRequest) -> Self {
        metrics::gauge!("http_requests_in_flight").increment(1);
        let span = Span::begin(SpanKind::Server, "HTTP", || parent(request));
        Self { span, started: Instant::now(), method: request.method().clone() }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }

    /// Records rate, errors and durations, and describes the span. `route` is the pattern of a path, so that no id
    /// becomes a label.
    pub(super) fn record(&self, route: &str, status: StatusCode) {
        let (method, code) = (name_of(&self.method), status.as_u16().to_string());
        metrics::counter!("http_requests_total", "method" => method, "route" => route.to_owned(), "status" => code)
            .increment(1);
        metrics::histogram!("http_request_duration_seconds", "method" => method, "route" => route.to_owned())
            .record(self.elapsed());
        self.describe(route, status);
    }

    /// By the semantic conventions for HTTP.
    fn describe(&self, route: &str, status: StatusCode) {
        let span = &self.span;
        if !span.is_recorded() {
            return;
        }
        let method = name_of(&self.method);
        span.rename(format!("{method} {route}"));
        span.set("http.request.method", method);
        span.set("http.route", route.to_owned());
        span.set("http.response.status_code", i64::from(status.as_u16()));
        if status.is_server_error() {
            span.fail("");
        }
    }
}

impl Drop for Measurement {
    fn drop(&mut self) {
        metrics::gauge!("http_requests_in_flight").decrement(1);
    }
}

/// The trace that a request is part of, if a trusted proxy says so: otherwise strangers could begin traces.
fn parent(request: &ServiceRequest) -> Parent {
    Parent::from_headers(|name| {
        let value = request.headers().get(name)?.to_str().ok()?;
        client::is_behind_trusted_proxy(request.request()).then_some(value)
    })
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
