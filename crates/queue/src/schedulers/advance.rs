//! Adds a scheduler's next job when a worker takes its job.

use std::time::Duration;

use examhall_redis::Value;
use serde_json::{Map, Value as Json};

use super::{
    Next,
    repeat::{Successor, successor, time_of},
};
use crate::{Claim, Error, Failure, Outcome, client::Client, code::Code, script};

/// A taken job of a scheduler.
pub(crate) struct Scheduled {
    pub(crate) id: String,
    pub(crate) scheduler: String,
    /// Its options, as BullMQ writes them.
    pub(crate) opts: Map<String, Json>,
}

/// Returns whether a scheduler is a repeatable job of BullMQ 5 or older, whose name has five parts:
/// `name:jobId:endDate:tz:pattern`.
fn is_legacy(scheduler: &str) -> bool {
    scheduler.matches(':').count() >= 4
}

/// Returns the name of a repeatable job of an older version, which its jobs did not have yet.
pub(crate) fn legacy_name(job_name: &str, repeat: &Map<String, Json>) -> String {
    let text = |name: &str| match repeat.get(name) {
        Some(Json::String(text)) => text.clone(),
        Some(Json::Null) | None => String::new(),
        Some(other) => other.to_string(),
    };
    let rule = ["pattern", "cron", "every"].map(text).into_iter().find(|rule| !rule.is_empty()).unwrap_or_default();
    let end = time_of(repeat.get("endDate")).map(|at| at.to_string()).unwrap_or_default();
    format!("{job_name}:{}:{end}:{}:{rule}", text("jobId"), text("tz"))
}

impl Scheduled {
    /// What comes before the time in the ids of the scheduler's jobs; older versions hashed its name.
    fn id_prefix(&self) -> String {
        match self.id.rsplit_once(':') {
            Some((prefix, _)) if is_legacy(&self.scheduler) => format!("{prefix}:"),
            _ => format!("repeat:{}:", self.scheduler),
        }
    }
}

/// Interval at which an unreachable Redis is asked again.
const BACKOFF: Duration = Duration::from_millis(500);

/// Adds the job that comes after `job`, as often as it takes to reach Redis, and returns how the run of `job` ends if
/// that cannot be done.
pub(crate) async fn keep_schedule(client: &Client, job: &Scheduled, claim: &Claim) -> Result<(), Outcome> {
    loop {
        match advance(client, job).await {
            Ok(()) => return Ok(()),
            Err(Error::Redis(error)) => {
                tracing::debug!(job_id = job.id, %error, "A scheduler's next job is not added yet");
                if tokio::time::timeout(BACKOFF, claim.lost()).await.is_ok() {
                    return Err(Outcome::Released);
                }
            }
            // Failed where an operator sees it: once the job is retried by a worker that can, the schedule goes on.
            Err(error) => {
                tracing::error!(job_id = job.id, scheduler = job.scheduler, %error, "A schedule ends: its next job cannot be added");
                let reason = format!("the next job of the scheduler {:?} cannot be added: {error}", job.scheduler);
                return Err(Outcome::Unrecoverable(Failure::new(reason)));
            }
        }
    }
}

/// Adds the job that comes after `job`, unless it was added before, the scheduler is gone, or limit or end are reached.
///
/// # Errors
/// Returns [`Error::BadSchedule`] if the schedule cannot be read, or [`Error::Redis`]: then it can be called again.
async fn advance(client: &Client, job: &Scheduled) -> Result<(), Error> {
    let now = client.now().await;
    let Successor::Job { at, repeat } = successor(&job.opts, now).map_err(Error::BadSchedule)? else { return Ok(()) };
    let number = |name: &str| repeat.get(name).and_then(Json::as_u64).map(|number| number.to_string());
    let [every, offset] = ["every", "offset"].map(|name| number(name).unwrap_or_default());
    let mut opts = job.opts.clone();
    opts.entry("attempts").or_insert_with(|| 0.into());
    let is_lifo = opts.get("lifo").and_then(Json::as_bool).unwrap_or_default();
    let deduplication_id = opts.get("de").and_then(|de| de.get("id")).and_then(Json::as_str).unwrap_or_default();
    let (deduplication_id, priority) = (deduplication_id.to_owned(), opts.get("priority").and_then(Json::as_u64));
    let is_legacy = is_legacy(&job.scheduler);
    let id_prefix = job.id_prefix();
    let next = Next { scheduler: &job.scheduler, id_prefix: id_prefix.clone(), at, repeat, opts, now };
    let args: Vec<Value> = vec![
        job.scheduler.as_str().into(),
        now.to_string().into(),
        at.map(|at| at.to_string()).unwrap_or_default().into(),
        job.id.as_str().into(),
        every.into(),
        offset.into(),
        next.json_id().into(),
        next.into_opts().into(),
        priority.unwrap_or_default().to_string().into(),
        u8::from(is_lifo).to_string().into(),
        deduplication_id.into(),
        id_prefix.into(),
        u8::from(is_legacy).to_string().into(),
    ];
    let (code, next): (i64, String) = client.eval(&script::ADVANCE_SCHEDULER, args).await?;
    let code = Code::try_from(code)?;
    tracing::debug!(job_id = job.id, scheduler = job.scheduler, ?code, next, "A scheduler's job was taken");
    Ok(())
}
