//! A job as operators read it.

use std::collections::{BTreeMap, HashMap};

use examhall_redis::Value as RedisValue;
use serde_json::Value;

use crate::{JobKey, JobOptions, State, client::text, lenient};

/// A job with its state and history. Fields that cannot be read count as absent.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// if let Some(job) = queue.get("guest-7").await? {
///     println!("{} since {:?}: {:?}", job.state, job.finished_on, job.failed_reason);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobRecord {
    /// Its id.
    pub id: String,
    /// Kind of job.
    pub name: String,
    /// Data from the producer; a string if it is no JSON.
    pub data: Value,
    /// How it is run and kept.
    pub options: JobOptions,
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
    /// Number of times it has lost its worker.
    pub stalls: u32,
    /// Its deduplication id, if it has one.
    pub deduplication_id: Option<String>,
    /// Its scheduler's id, if it has one.
    pub scheduler_id: Option<String>,
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
    /// The job that waits for it, if it is a child.
    pub parent: Option<JobKey>,
    /// Progress from its handler.
    pub progress: Option<Value>,
    /// Value from its handler.
    pub returnvalue: Option<Value>,
    /// Why its last failed run failed.
    pub failed_reason: Option<String>,
    /// What fields held that no client could read, by their names: the job failed for that.
    pub unreadable: BTreeMap<String, String>,
    /// Traces of failed runs that are still stored, oldest first.
    pub stacktrace: Vec<String>,
}

impl JobRecord {
    /// Reads what the scripts return for a job.
    pub(crate) fn new(id: String, state: State, hash: Vec<RedisValue>, due: i64) -> Self {
        let fields = Fields::new(hash);
        Self {
            name: fields.text("name").unwrap_or_default(),
            data: fields.text("data").map_or(Value::Null, |text| lenient::read(text.as_bytes()).unwrap_or(text.into())),
            options: fields.json("opts").map_or_else(JobOptions::default, |opts| JobOptions::from_json(&opts)),
            priority: fields.number("priority").unwrap_or_default(),
            timestamp: fields.number("timestamp").unwrap_or_default(),
            attempts_made: fields.number("atm").unwrap_or_default(),
            attempts_started: fields.number("ats").unwrap_or_default(),
            stalls: fields.number("stc").unwrap_or_default(),
            deduplication_id: fields.text("deid"),
            scheduler_id: fields.text("rjk"),
            retried_on: fields.number("retriedOn"),
            processed_on: fields.number("processedOn"),
            finished_on: fields.number("finishedOn"),
            due: Some(due).filter(|due| *due > 0),
            processed_by: fields.text("pb"),
            parent: fields.json("parent").and_then(|parent| JobKey::from_json(&parent)),
            progress: fields.json("progress"),
            returnvalue: fields.json("returnvalue"),
            failed_reason: fields.text("failedReason"),
            stacktrace: fields.json("stacktrace").and_then(|it| serde_json::from_value(it).ok()).unwrap_or_default(),
            unreadable: fields.unreadable(),
            id,
            state,
        }
    }
}

/// The fields of a job's hash.
pub(super) struct Fields(HashMap<String, Vec<u8>>);

impl Fields {
    /// Reads a hash as Redis lists it: field, value, field, value, ...
    pub(super) fn new(hash: Vec<RedisValue>) -> Self {
        let mut fields = HashMap::with_capacity(hash.len() / 2);
        let mut hash = hash.into_iter();
        while let (Some(field), Some(value)) = (hash.next(), hash.next()) {
            fields.insert(text(&field), value.into_owned_bytes().unwrap_or_default());
        }
        Self(fields)
    }

    pub(super) fn text(&self, field: &str) -> Option<String> {
        self.0.get(field).map(|value| String::from_utf8_lossy(value).into_owned())
    }

    /// Returns what fields held that no client could read, by their names.
    fn unreadable(&self) -> BTreeMap<String, String> {
        let held = |(name, value): (&String, &Vec<u8>)| {
            Some((name.strip_prefix("unreadable:")?.to_owned(), String::from_utf8_lossy(value).into_owned()))
        };
        self.0.iter().filter_map(held).collect()
    }

    pub(super) fn number<N: std::str::FromStr>(&self, field: &str) -> Option<N> {
        self.text(field)?.parse().ok()
    }

    pub(super) fn json(&self, field: &str) -> Option<Value> {
        lenient::read(self.0.get(field)?).ok()
    }
}
