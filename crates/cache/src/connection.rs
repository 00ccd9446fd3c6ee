//! Connections with the cache's time limits, which allow for a busy process.

use std::time::{Duration, Instant};

use examhall_redis::{ClusterUrl, Connection, ConnectionOptions, FromValue, NodeAddress, Route, Value};

use crate::Error;

/// Time limit of large values and of background work.
pub(crate) const BULK_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest pause between attempts to connect: Redis is used again within 2 s of its return.
const MAX_BACKOFF: Duration = Duration::from_millis(500);
/// Longest wait for an answer, even if the process is busy.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn connect(url: &str) -> Result<Connection, Error> {
    Ok(Connection::open_with(url, options())?)
}

/// Connects to a node of a cluster.
pub(crate) fn connect_node(cluster: &ClusterUrl, node: &NodeAddress) -> Result<Connection, Error> {
    Ok(cluster.connect(node, options())?)
}

fn options() -> ConnectionOptions {
    ConnectionOptions::default()
        .command_timeout(BULK_TIMEOUT)
        .unresponsive_after(Duration::from_secs(2))
        .max_backoff(MAX_BACKOFF)
        .command_buffer(10_000)
        .push_capacity(8192)
}

/// Runs a command whose answer may take `timeout`, longer if the process is busy.
pub(crate) async fn command<R: FromValue>(
    connection: &Connection,
    timeout: Duration,
    name: &'static str,
    route: Route<'_>,
    args: Vec<Value>,
) -> Result<R, Error> {
    within(timeout, connection.command_within(MAX_TIMEOUT, name, route, args)).await
}

/// Waits for an answer of Redis, `timeout` or longer if the process is busy.
pub(crate) async fn within<R>(
    timeout: Duration,
    answer: impl Future<Output = Result<R, examhall_redis::Error>>,
) -> Result<R, Error> {
    tokio::select! {
        biased;
        answer = answer => Ok(answer?),
        () = busy_aware_sleep(timeout) => Err(Error::Slow),
    }
}

/// As [`within`], and measures it as the command `name`.
pub(crate) async fn measured<R>(
    name: &'static str,
    timeout: Duration,
    answer: impl Future<Output = Result<R, examhall_redis::Error>>,
) -> Result<R, Error> {
    let began = Instant::now();
    let answer = within(timeout, answer).await;
    metrics::histogram!("cache_redis_seconds", "cmd" => name).record(began.elapsed());
    if let Err(error) = &answer {
        let kind = if is_absence(error) { "absent" } else { "refused" };
        metrics::counter!("cache_redis_errors_total", "kind" => kind).increment(1);
    }
    answer
}

/// Sleeps for `timeout` in ten steps. A step counts little more than what was asked for, however long it took: a process
/// with ten thousand readers would take its own delay for one of Redis otherwise.
pub(crate) async fn busy_aware_sleep(timeout: Duration) {
    let step = timeout / 10;
    let mut slept = Duration::ZERO;
    while slept < timeout {
        let began = Instant::now();
        tokio::time::sleep(step).await;
        slept += began.elapsed().min(step * 3 / 2); // a timer has a resolution of 1 ms
    }
}

/// Returns whether Redis cannot serve now (it is away, slow or starting), as opposed to having refused. A replica refuses
/// writes (`READONLY`) and still serves reads; a node of a cluster refuses keys of a slot that is being moved (`TRYAGAIN`) and
/// serves the others.
pub(crate) fn is_absence(error: &Error) -> bool {
    match error {
        Error::Slow => true,
        Error::Redis(error) => error.is_transient() && !matches!(error.code(), Some("READONLY" | "TRYAGAIN")),
        _ => false,
    }
}
