//! A job as a worker gets it.

use std::{collections::HashMap, fmt};

use fred::types::Value as RedisValue;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Claim, Error, JobOptions};

/// Longest data of a job that is read, in bytes.
pub(crate) const LONGEST_DATA: u64 = 8 * 1024 * 1024;

/// A job in the hands of a worker.
#[derive(Clone, Debug)]
pub struct Job<T> {
    /// Its id.
    pub id: String,
    /// What kind of job it is.
    pub name: String,
    /// What the producer gave.
    pub data: T,
    /// How it is to be run and kept.
    pub options: JobOptions,
    /// BullMQ's priority as it is now: 1 goes first, 0 is none.
    pub priority: u32,
    /// When it was added, in ms since 1970.
    pub timestamp: i64,
    /// Runs that have ended, failures among them; not this one.
    pub attempts_made: u32,
    /// Runs that have begun, this one included.
    pub attempts_started: u32,
    /// The worker's hold on it.
    pub claim: Claim,
}

/// A job as Redis has it, with the token that its lock was taken with.
pub(crate) struct TakenJob {
    pub(crate) id: String,
    pub(crate) token: String,
    fields: HashMap<String, Vec<u8>>,
    /// Bytes of data that were too many to be read, or 0.
    unread: u64,
}

/// Why a job cannot be run.
pub(crate) enum Unfit {
    /// Its data does not suit this worker, or it is a part of something this crate does not do.
    Refused(String),
    /// Its entry is broken; readers choke on it until `data` and `opts` (JSON) stand in their place.
    Poisoned { reason: String, data: Option<String>, opts: String },
}

impl TakenJob {
    /// Reads `{id, {field, value, ...}, token, bytes unread}`.
    pub(crate) fn from_answer(answer: RedisValue) -> Result<Self, Error> {
        let RedisValue::Array(parts) = answer else { return Err(Error::UnexpectedAnswer("a job is no list")) };
        let [id, RedisValue::Array(hash), token, unread] =
            <[RedisValue; 4]>::try_from(parts).map_err(|_| Error::UnexpectedAnswer("a job has four parts"))?
        else {
            return Err(Error::UnexpectedAnswer("a job's hash is no list"));
        };
        let fields = to_fields(hash)?;
        Ok(Self { id: id.convert()?, token: token.convert()?, fields, unread: unread.convert()? })
    }

    /// What was decided about the job before: it is to fail without being run.
    pub(crate) fn deferred_failure(&self) -> Option<String> {
        self.fields.get("defa").map(|reason| String::from_utf8_lossy(reason).into_owned())
    }

    pub(crate) fn attempts_made(&self) -> u32 {
        self.number("atm")
    }

    pub(crate) fn deduplication_id(&self) -> String {
        self.text("deid")
    }

    pub(crate) fn options(&self) -> JobOptions {
        self.json("opts").map_or_else(JobOptions::default, |opts| JobOptions::from_json(&opts))
    }

    /// Traces of failed runs, oldest first.
    pub(crate) fn stacktrace(&self) -> Vec<String> {
        self.json("stacktrace").and_then(|traces| serde_json::from_value(traces).ok()).unwrap_or_default()
    }

    /// The job for its handler, or why it cannot be run.
    pub(crate) fn open<T: DeserializeOwned>(&self, options: &JobOptions, claim: Claim) -> Result<Job<T>, Unfit> {
        if !self.fields.contains_key("name") {
            return Err(self.poisoned("the job's hash is missing", None));
        }
        if self.unread > 0 {
            let reason = format!("the job's data has {} bytes, and {LONGEST_DATA} are read at most", self.unread);
            return Err(self.poisoned(&reason, None));
        }
        if self.fields.contains_key("rjk") || self.fields.contains_key("parentKey") {
            let reason = "the job belongs to a scheduler or to a flow: only BullMQ's own workers can run it";
            return Err(Unfit::Refused(reason.to_owned()));
        }
        let data = self.fields.get("data").map_or(&b"{}"[..], Vec::as_slice);
        let data = serde_json::from_slice(data).map_err(|error| self.unreadable(data, &error))?;
        if let Some(Err(error)) = self.fields.get("opts").map(|opts| serde_json::from_slice::<Value>(opts)) {
            return Err(self.poisoned(&format!("the job's options cannot be read: {error}"), None));
        }
        Ok(Job {
            id: self.id.clone(),
            name: self.text("name"),
            data,
            options: options.clone(),
            priority: self.number("priority"),
            timestamp: self.text("timestamp").parse().unwrap_or_default(),
            attempts_made: self.attempts_made(),
            attempts_started: self.number("ats").saturating_add(1),
            claim,
        })
    }

    fn unreadable(&self, data: &[u8], error: &serde_json::Error) -> Unfit {
        let reason = format!("the job's data cannot be read: {error}");
        if error.is_data() {
            return Unfit::Refused(reason);
        }
        // Kept for whoever looks for the cause, as a JSON string.
        self.poisoned(&reason, Some(Value::from(String::from_utf8_lossy(data)).to_string()))
    }

    fn poisoned(&self, reason: &str, data: Option<String>) -> Unfit {
        let opts = self.json("opts").filter(Value::is_object).unwrap_or_else(|| serde_json::json!({"attempts": 0}));
        Unfit::Poisoned { reason: reason.to_owned(), data, opts: opts.to_string() }
    }

    fn text(&self, field: &str) -> String {
        self.fields.get(field).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    fn number(&self, field: &str) -> u32 {
        self.fields.get(field).and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or_default()
    }

    fn json(&self, field: &str) -> Option<Value> {
        self.fields.get(field).and_then(|value| serde_json::from_slice(value).ok())
    }
}

/// A hash as Redis lists it: field, value, field, value, ...
pub(crate) fn to_fields(hash: Vec<RedisValue>) -> Result<HashMap<String, Vec<u8>>, Error> {
    let mut fields = HashMap::with_capacity(hash.len() / 2);
    let mut hash = hash.into_iter();
    while let (Some(field), Some(value)) = (hash.next(), hash.next()) {
        fields.insert(field.convert()?, value.into_owned_bytes().unwrap_or_default());
    }
    Ok(fields)
}

impl fmt::Debug for TakenJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakenJob").field("id", &self.id).finish_non_exhaustive()
    }
}
