//! OpenTelemetry traces, sent by OTLP over HTTP: one from a request to every attempt at the mail that it caused.
//!
//! ```text
//!   GET /...  (server) ──> send (producer) ──> process (consumer) ──> deliver (client)
//!   a request's span       its mail queued     a run of its job       an attempt at one mail server
//! ```
//! Off unless `OTEL_EXPORTER_OTLP_ENDPOINT` is set: a [`Span`] is empty then. Processes pass on the JSON text of a W3C
//! trace context, `{"traceparent":"00-..."}`, as BullMQ stores it with a job. Spans hold no address and no mail text.

use std::{borrow::Cow, collections::HashMap, sync::OnceLock, time::Duration};

use futures_util::future::Either;
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt,
    propagation::TextMapPropagator,
    trace::{Status, TraceContextExt, Tracer, TracerProvider},
};
pub use opentelemetry::{Value, trace::SpanKind};
use opentelemetry_otlp::{ExporterBuildError, Protocol, SpanExporter, WithExportConfig};
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{SdkTracer, SdkTracerProvider},
};
use url::Url;

/// Time limit for sending the last spans at exit.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(3);

static TRACER: OnceLock<SdkTracer> = OnceLock::new();

/// Guard of the exporter; dropping it sends the last spans. Drop it outside of any runtime.
#[derive(Debug)]
#[must_use = "once dropped, nothing is recorded"]
pub struct Traces(Option<SdkTracerProvider>);

/// A unit of work, from [`begin`](Self::begin) until it and the last of its futures are dropped.
#[derive(Clone, Debug)]
pub struct Span(Option<Context>);

/// Parent of a span.
#[derive(Clone, Debug)]
pub struct Parent(Context);

impl Traces {
    /// Exports the spans of this process, as `service`, to a collector such as `http://127.0.0.1:4318`. Other options of
    /// OpenTelemetry, such as the sampling ratio, are read from `OTEL_*`.
    ///
    /// # Errors
    /// Returns an error if one of these is malformed.
    pub fn start(collector: Option<&Url>, service: &'static str) -> Result<Self, ExporterBuildError> {
        let Some(collector) = collector else { return Ok(Self(None)) };
        let endpoint = format!("{}/v1/traces", collector.as_str().trim_end_matches('/'));
        let exporter =
            SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_endpoint(endpoint).build()?;
        let resource = Resource::builder()
            .with_service_name(service)
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource).build();
        TRACER.get_or_init(|| provider.tracer("examhall"));
        Ok(Self(Some(provider)))
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Some(provider) = &self.0
            && let Err(error) = provider.shutdown_with_timeout(FLUSH_TIMEOUT)
        {
            tracing::warn!(%error, "The last traces were not sent");
        }
    }
}

impl Parent {
    /// Returns the current span, or none.
    pub fn current() -> Self {
        Self(Context::current())
    }

    /// Reads a trace context from JSON; malformed text counts as none.
    pub fn from_json(text: Option<&str>) -> Self {
        Self::of(&text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_default())
    }

    /// Reads a trace context from a request's headers; malformed ones count as none.
    pub fn from_headers<'a>(get: impl Fn(&str) -> Option<&'a str>) -> Self {
        let names = ["traceparent", "tracestate"];
        Self::of(&names.into_iter().filter_map(|name| Some((name.to_owned(), get(name)?.to_owned()))).collect())
    }

    fn of(fields: &HashMap<String, String>) -> Self {
        Self(TraceContextPropagator::new().extract_with_context(&Context::new(), fields))
    }
}

impl Span {
    /// Begins a span. Use few names; put details into attributes.
    pub fn begin(kind: SpanKind, name: impl Into<Cow<'static, str>>, parent: impl FnOnce() -> Parent) -> Self {
        Self(TRACER.get().map(|tracer| {
            let Parent(parent) = parent();
            let span = tracer.span_builder(name).with_kind(kind).start_with_context(tracer, &parent);
            parent.with_span(span)
        }))
    }

    /// Returns whether it is sampled; attributes of others need not be computed.
    pub fn is_recorded(&self) -> bool {
        self.0.as_ref().is_some_and(|context| context.span().is_recording())
    }

    /// Renames it once more is known.
    pub fn rename(&self, name: String) {
        if let Some(context) = &self.0 {
            context.span().update_name(name);
        }
    }

    /// Sets an attribute; use a name of OpenTelemetry's semantic conventions if there is one.
    pub fn set(&self, key: &'static str, value: impl Into<Value>) {
        if let Some(context) = &self.0 {
            context.span().set_attribute(KeyValue::new(key, value));
        }
    }

    /// Marks it as failed.
    pub fn fail(&self, reason: impl Into<Cow<'static, str>>) {
        if let Some(context) = &self.0 {
            context.span().set_status(Status::error(reason));
        }
    }

    /// Wraps a future whose work is part of it.
    pub fn around<F: Future>(&self, work: F) -> impl Future<Output = F::Output> {
        match &self.0 {
            Some(context) => Either::Left(work.with_context(context.clone())),
            None => Either::Right(work),
        }
    }

    /// Returns the trace context with which other processes continue it.
    pub fn to_json(&self) -> Option<String> {
        self.0.as_ref().and_then(to_json)
    }

    /// Returns the trace's id, for log lines.
    pub fn trace_id(&self) -> Option<String> {
        self.0.as_ref().map(|context| context.span().span_context().trace_id().to_string())
    }
}

/// Returns the trace context of the current span; `None` if there is none.
pub fn current() -> Option<String> {
    TRACER.get().and_then(|_| to_json(&Context::current()))
}

fn to_json(context: &Context) -> Option<String> {
    let mut fields = HashMap::new();
    TraceContextPropagator::new().inject_context(context, &mut fields);
    fields.retain(|_, value: &mut String| !value.is_empty()); // `tracestate` is present even if it is empty
    (!fields.is_empty()).then(|| serde_json::json!(fields).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_collector_spans_are_empty() {
        let _traces = Traces::start(None, "test").expect("nothing to go wrong");
        let span = Span::begin(SpanKind::Internal, "work", || unreachable!("its parent is not needed"));
        assert_eq!((span.to_json(), span.trace_id(), current()), (None, None, None));
    }

    #[test]
    fn a_trace_context_survives_and_a_malformed_one_is_none() {
        let text = r#"{"traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#;
        let Parent(context) = Parent::from_json(Some(text));
        assert_eq!(to_json(&context).as_deref(), Some(text));
        for nonsense in [None, Some(""), Some("00-1-2-01"), Some("[]"), Some(r#"{"traceparent":7}"#)] {
            assert_eq!(to_json(&Parent::from_json(nonsense).0), None, "{nonsense:?}");
        }
        let Parent(context) = Parent::from_headers(|name| {
            (name == "traceparent").then_some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
        });
        assert_eq!(to_json(&context).as_deref(), Some(text));
    }
}
