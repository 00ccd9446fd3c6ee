//! What a handler or an operator writes to a job without moving it: progress, log lines, data,
//! and the lock.

use std::time::Duration;

use examhall_redis::Value;
use serde::Serialize;

use crate::{Error, client::Client, clock::millis, code::Code, options::check_span, script};

/// Stores a job's progress, and writes an event.
pub(crate) async fn set_progress(client: &Client, id: &str, progress: &str) -> Result<(), Error> {
    found(id, client.eval(&script::PROGRESS, vec![id.into(), progress.into()]).await?)
}

/// Replaces a job's data.
pub(crate) async fn update_data<D: Serialize + ?Sized>(client: &Client, id: &str, data: &D) -> Result<(), Error> {
    let data = to_json(data)?;
    found(id, client.eval(&script::UPDATE_DATA, vec![id.into(), data.into()]).await?)
}

/// Adds a line to a job's log, of which `keep` lines are kept (0: all), and returns the number of lines.
pub(crate) async fn log(client: &Client, id: &str, line: &str, keep: u32) -> Result<u64, Error> {
    let args: Vec<Value> = vec![id.into(), line.into(), keep.into()];
    let (code, lines) = client.eval(&script::LOG, args).await?;
    found(id, code).map(|()| lines)
}

pub(crate) fn to_json<V: Serialize + ?Sized>(value: &V) -> Result<String, Error> {
    serde_json::to_string(value).map_err(Error::payload)
}

/// Sets the time until a lock expires that has this token.
pub(crate) async fn extend_lock(client: &Client, id: &str, token: &str, duration: Duration) -> Result<(), Error> {
    check_span("lock", duration, Duration::from_millis(1))?;
    let args = vec![id.into(), token.into(), millis(duration).to_string().into()];
    Code::try_from(client.eval::<i64>(&script::EXTEND_LOCK, args).await?)?.to_result(id)
}

/// Translates the code of a script that needs only the job.
pub(crate) fn found(id: &str, code: i64) -> Result<(), Error> {
    match Code::try_from(code)? {
        Code::Done => Ok(()),
        _ => Err(Error::NotFound(id.to_owned())),
    }
}
