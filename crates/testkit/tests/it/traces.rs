//! Traces, as a collector of OpenTelemetry gets them.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use examhall_testkit::{Action, Phase, World, eventually};
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Response, body::Bytes, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    trace::v1::{Span, span::SpanKind, status::StatusCode},
};
use prost::Message;
use serde_json::json;
use tokio::{net::TcpListener, sync::Mutex};

use crate::{Api, TIMEOUT};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Takes spans by OTLP over HTTP, and keeps the requests as they came.
#[derive(Clone)]
struct Collector {
    port: u16,
    bodies: Arc<Mutex<Vec<Bytes>>>,
}

impl Collector {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let collector = Self { port, bodies: Arc::default() };
        let shared = collector.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let shared = shared.clone();
                let service = service_fn(move |request| shared.clone().take(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
            }
        });
        collector
    }

    async fn take(self, request: Request<Incoming>) -> Result<Response<Empty<Bytes>>, Infallible> {
        assert_eq!(request.uri().path(), "/v1/traces");
        let body = request.into_body().collect().await.expect("a whole body").to_bytes();
        self.bodies.lock().await.push(body);
        Ok(Response::new(Empty::new()))
    }

    /// All spans so far, each with the service that it is of.
    async fn spans(&self) -> Vec<(String, Span)> {
        let mut spans = Vec::new();
        for body in self.bodies.lock().await.iter() {
            let request = ExportTraceServiceRequest::decode(body.clone()).expect("OTLP");
            for resource in request.resource_spans {
                let attributes = &resource.resource.as_ref().expect("a resource").attributes;
                let service = format!("{:?}", attributes.iter().find(|pair| pair.key == "service.name"));
                let service = if service.contains("examhall-api") { "api" } else { "mailer" };
                let of_resource = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
                spans.extend(of_resource.map(|span| (service.to_owned(), span)));
            }
        }
        spans
    }
}

/// A world whose programs send their spans to `collector`, soon.
async fn world(collector: &Collector) -> World {
    let mut world = World::start().await;
    world.set("OTEL_EXPORTER_OTLP_ENDPOINT", &format!("http://127.0.0.1:{}", collector.port));
    world.set("OTEL_BSP_SCHEDULE_DELAY", "100");
    world
}

/// Signs up as a proxy would pass it on that has begun a trace.
async fn sign_up(api: &Api) {
    let body = json!({"name": "Ada", "email": "ada@example.com", "password": "correct horse"});
    let request = api.client.post(format!("{}/auth/signup", api.base)).json(&body);
    let answer = request.header("traceparent", format!("00-{TRACE}-b7ad6b7169203331-01")).send().await;
    assert_eq!(answer.expect("an answer").status(), 202);
}

fn hex(id: &[u8]) -> String {
    id.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
}

#[tokio::test]
async fn a_request_its_mail_and_each_attempt_to_send_it_are_one_trace() {
    let collector = Collector::start().await;
    let mut world = world(&collector).await;
    world.set("TRUSTED_PROXIES", "127.0.0.1/32");
    let refused = AtomicBool::new(false);
    world.smtp.behave(move |phase, _| match phase {
        Phase::EndOfData if !refused.swap(true, Ordering::Relaxed) => Action::Reply("451 4.2.0 ada@example.com".into()),
        _ => Action::Proceed,
    });
    let (api, _mailer) = (Api::start(&world).await, world.mailer(&[]));
    sign_up(&api).await;
    world.smtp.wait_for(1).await;
    let spans = eventually("all spans of the trace", TIMEOUT, async || {
        let mut spans = collector.spans().await;
        spans.retain(|(_, span)| hex(&span.trace_id) == TRACE);
        (spans.len() == 6).then_some(spans)
    })
    .await;

    let named = |name: &str| {
        let mut found: Vec<_> = spans.iter().filter(|(_, span)| span.name == name).collect();
        found.sort_by_key(|(_, span)| span.start_time_unix_nano);
        found
    };
    let (request, send) = (named("POST /api/v1/auth/signup")[0], named("send")[0]);
    let (runs, attempts) = (named("process"), named("deliver"));
    assert_eq!(hex(&request.1.parent_span_id), "b7ad6b7169203331", "the proxy's span");
    assert_eq!(send.1.parent_span_id, request.1.span_id);
    for ((service, run), (_, attempt)) in runs.iter().zip(&attempts) {
        assert_eq!((service.as_str(), &run.parent_span_id), ("mailer", &send.1.span_id));
        assert_eq!(attempt.parent_span_id, run.span_id);
        assert_eq!(attempt.kind, SpanKind::Client as i32);
        assert!(run.start_time_unix_nano <= attempt.start_time_unix_nano);
        assert!(attempt.end_time_unix_nano <= run.end_time_unix_nano);
    }
    let failed = |span: &Span| span.status.as_ref().is_some_and(|status| status.code == StatusCode::Error as i32);
    for found in [&runs, &attempts] {
        assert_eq!(found.iter().map(|(_, span)| failed(span)).collect::<Vec<_>>(), [true, false]);
    }
    for body in collector.bodies.lock().await.iter() {
        assert!(!String::from_utf8_lossy(body).contains("ada@"), "a span holds an address");
    }
}

#[tokio::test]
async fn a_stranger_cannot_make_a_request_part_of_a_trace() {
    let collector = Collector::start().await;
    let world = world(&collector).await;
    let api = Api::start(&world).await;
    sign_up(&api).await;
    let spans = eventually("the spans of the request", TIMEOUT, async || {
        let spans = collector.spans().await;
        spans.iter().any(|(_, span)| span.name == "send").then_some(spans)
    })
    .await;
    assert!(spans.iter().all(|(_, span)| hex(&span.trace_id) != TRACE), "{spans:?}");
}

#[tokio::test]
async fn the_last_spans_are_sent_before_a_program_ends() {
    let collector = Collector::start().await;
    let mut world = world(&collector).await;
    world.set("OTEL_BSP_SCHEDULE_DELAY", "600000");
    let mut api = Api::start(&world).await;
    sign_up(&api).await;
    api.process.terminate();
    assert!(api.process.exit(Duration::from_mins(1)).await.success(), "{}", api.process.output());
    assert!(collector.spans().await.iter().any(|(_, span)| span.name.ends_with("/auth/signup")));
}

#[tokio::test]
async fn without_a_collector_everything_goes_on() {
    let mut world = World::start().await;
    world.set("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1");
    let (api, _mailer) = (Api::start(&world).await, world.mailer(&[]));
    api.sign_up("ada@example.com").await;
    world.smtp.wait_for(1).await;
}
