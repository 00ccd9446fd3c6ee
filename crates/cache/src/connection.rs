//! Connections with the cache's time limits, which allow for a busy process.

use std::time::Duration;

use examhall_redis::{Connection, ConnectionOptions, FromValue, Route, Value};

use crate::Error;

/// Time limit of large values and of background work.
pub(crate) const BULK_TIMEOUT: Duration = Duration::from_millis(500);
/// Longest wait for an answer, even if the process is busy.
pub(crate) const MAX_TIMEOUT: Duration = Duration::from_secs(2);

pub(crate) fn connect(url: &str) -> Result<Connection, Error> {
    let options = ConnectionOptions::default()
        .command_timeout(BULK_TIMEOUT)
        .unresponsive_after(Duration::from_secs(2))
        .max_backoff(Duration::from_secs(2))
        .command_buffer(10_000)
        .push_capacity(8192);
    Ok(Connection::open_with(url, options)?)
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

/// Sleeps for `timeout` in ten steps, each of which takes longer if the runtime is busy. Otherwise a process with ten
/// thousand readers would take its own delay for one of Redis.
pub(crate) async fn busy_aware_sleep(timeout: Duration) {
    for _ in 0..10 {
        tokio::time::sleep(timeout / 10).await;
    }
}

/// Returns whether Redis cannot serve now (it is away, slow or starting), as opposed to having refused. A replica refuses
/// writes (`READONLY`) and still serves reads.
pub(crate) fn is_absence(error: &Error) -> bool {
    match error {
        Error::Slow => true,
        Error::Redis(error) => error.is_transient() && error.code() != Some("READONLY"),
        _ => false,
    }
}
