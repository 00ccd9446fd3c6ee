//! The ops port: `/healthz`, `/readyz` and `/metrics`.

use std::{convert::Infallible, net::SocketAddr, sync::Arc, time::Duration};

use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{ALLOW, CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::Semaphore};
use tokio_util::sync::CancellationToken;

use crate::{health::Readiness, liveness::Liveness, metrics::Metrics};

/// Connections served concurrently; more wait.
const CONNECTIONS: usize = 64;
/// Time limit for a client to send its request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// Interval of metrics upkeep.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(1);

/// Server of the ops port.
pub struct Ops {
    metrics: Metrics,
    liveness: Liveness,
    readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
}

impl Ops {
    /// Creates a server that evaluates `liveness` and `readiness` at each request.
    pub fn new(
        metrics: Metrics,
        liveness: Liveness,
        readiness: impl Fn() -> Readiness + Send + Sync + 'static,
    ) -> Self {
        Self { metrics, liveness, readiness: Box::new(readiness) }
    }

    /// Listens until `stop`, and runs metrics upkeep meanwhile, scraped or not. Returns the address; its port is chosen by
    /// the system if `bind` has port 0.
    ///
    /// # Errors
    /// Returns an error if it cannot listen on the address.
    pub async fn serve(self, bind: SocketAddr, stop: CancellationToken) -> std::io::Result<SocketAddr> {
        let listener = TcpListener::bind(bind).await?;
        let address = listener.local_addr()?;
        tokio::spawn(run_upkeep(self.metrics.clone(), stop.clone()));
        tokio::spawn(accept(listener, Arc::new(self), stop));
        Ok(address)
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "this port is read-only\n");
            refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return refused;
        }
        match request.uri().path() {
            "/healthz" => match self.liveness.check(Liveness::TIMEOUT) {
                Ok(()) => text(StatusCode::OK, "ok\n"),
                Err(reason) => text(StatusCode::SERVICE_UNAVAILABLE, reason + "\n"),
            },
            "/readyz" => ready(&(self.readiness)()),
            "/metrics" => respond(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", self.metrics.render()),
            _ => text(StatusCode::NOT_FOUND, "try /healthz, /readyz or /metrics\n"),
        }
    }
}

async fn run_upkeep(metrics: Metrics, stop: CancellationToken) {
    let mut clock = tokio::time::interval(UPKEEP_INTERVAL);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        metrics.run_upkeep();
    }
}

async fn accept(listener: TcpListener, ops: Arc<Ops>, stop: CancellationToken) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        let Some(accepted) = stop.run_until_cancelled(listener.accept()).await else { return };
        let Ok((stream, _)) = accepted else {
            // No file descriptor is free, or the peer has gone. The pause prevents a busy loop.
            tokio::time::sleep(Duration::from_millis(100)).await;
            continue;
        };
        let ops = Arc::clone(&ops);
        tokio::spawn(async move {
            let service = service_fn(async |request| Ok::<_, Infallible>(ops.answer(&request)));
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(REQUEST_TIMEOUT)
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                tracing::debug!(%error, "operator's connection ended early");
            }
            drop(place);
        });
    }
}

fn ready(readiness: &Readiness) -> Response<Full<Bytes>> {
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = serde_json::to_vec(readiness).unwrap_or_default();
    respond(status, "application/json", body)
}

fn text(status: StatusCode, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    respond(status, "text/plain; charset=utf-8", body)
}

fn respond(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}
