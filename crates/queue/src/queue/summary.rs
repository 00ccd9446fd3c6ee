//! A job as lists show it: without its data, which may have many megabytes.

use examhall_redis::Value as RedisValue;
use serde_json::{Map, Value};

use super::record::Fields;
use crate::{JobOptions, State, lenient};

/// A job without its data. Fields that cannot be read, or have over 8 KiB, count as absent.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// for job in queue.summaries(&["7".to_owned(), "8".to_owned()], &["to"]).await? {
///     println!("{} is {}, {} bytes, to {:?}", job.id, job.state, job.data_bytes, job.picked);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobSummary {
    /// Its id.
    pub id: String,
    /// Kind of job.
    pub name: String,
    /// Its state.
    pub state: State,
    /// BullMQ's priority as it is now: 1 goes first, 0 is none.
    pub priority: u32,
    /// When it was added, in ms since 1970.
    pub timestamp: i64,
    /// Runs that have ended.
    pub attempts_made: u32,
    /// Runs that have started.
    pub attempts_started: u32,
    /// How it is run and kept.
    pub options: JobOptions,
    /// Number of times it has lost its worker.
    pub stalls: u32,
    /// When it was last retried by hand, in ms since 1970; BullMQ does not record that.
    pub retried_on: Option<i64>,
    /// When its last run started, in ms since 1970.
    pub processed_on: Option<i64>,
    /// When it ended, in ms since 1970.
    pub finished_on: Option<i64>,
    /// When it is due, in ms since 1970, while it is delayed.
    pub due: Option<i64>,
    /// Name of the worker that ran it last, if that has one.
    pub processed_by: Option<String>,
    /// Value from its handler.
    pub returnvalue: Option<Value>,
    /// Why its last failed run failed; its first 8 KiB.
    pub failed_reason: Option<String>,
    /// Size of its data.
    pub data_bytes: u64,
    /// The fields of the data that were asked for; `None` if the data has over 32 KiB or is no JSON object.
    pub picked: Option<Map<String, Value>>,
}

/// What a script says of a job in numbers.
#[derive(Clone, Copy)]
pub(super) struct Size {
    pub(super) due: i64,
    pub(super) data_bytes: u64,
}

impl JobSummary {
    /// Reads what the scripts return for a job.
    pub(super) fn new(id: String, state: State, hash: Vec<RedisValue>, size: Size, picked: &str) -> Self {
        let fields = Fields::new(hash);
        Self {
            name: fields.text("name").unwrap_or_default(),
            priority: fields.number("priority").unwrap_or_default(),
            timestamp: fields.number("timestamp").unwrap_or_default(),
            attempts_made: fields.number("atm").unwrap_or_default(),
            attempts_started: fields.number("ats").unwrap_or_default(),
            options: fields.json("opts").map_or_else(JobOptions::default, |opts| JobOptions::from_json(&opts)),
            stalls: fields.number("stc").unwrap_or_default(),
            retried_on: fields.number("retriedOn"),
            processed_on: fields.number("processedOn"),
            finished_on: fields.number("finishedOn"),
            due: Some(size.due).filter(|due| *due > 0),
            processed_by: fields.text("pb"),
            returnvalue: fields.json("returnvalue"),
            failed_reason: fields.text("failedReason"),
            data_bytes: size.data_bytes,
            picked: lenient::read(picked.as_bytes()).ok(),
            id,
            state,
        }
    }
}
