//! A job as a worker takes it.

use std::fmt;

use examhall_redis::{Value as RedisValue, convert};
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{
    Claim, Error, JobKey, JobOptions,
    client::text,
    lenient,
    schedulers::advance::{Scheduled, legacy_name},
};

/// Longest data of a job that a worker reads, in bytes.
pub(crate) const LONGEST_DATA: u64 = crate::script::longest_data!();

/// A job that a worker runs.
/// ```no_run
/// # use examhall_queue::{Error, Job};
/// async fn greet(job: Job<String>) -> Result<String, Error> {
///     println!("{} of {}, attempt {}", job.id, job.name, job.attempts_made + 1);
///     job.claim.log("greeted").await?;
///     Ok(format!("hello {}", job.data))
/// }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Job<T> {
    /// Its id.
    pub id: String,
    /// Kind of job.
    pub name: String,
    /// Data from the producer.
    pub data: T,
    /// How it is run and kept.
    pub options: JobOptions,
    /// BullMQ's priority as it is now: 1 goes first, 0 is none.
    pub priority: u32,
    /// When it was added, in ms since 1970.
    pub timestamp: i64,
    /// When it was last retried by hand, in ms since 1970; BullMQ does not record that.
    pub retried_on: Option<i64>,
    /// Runs that have ended before this one, failures included.
    pub attempts_made: u32,
    /// Runs that have started, this one included.
    pub attempts_started: u32,
    /// Number of times it has lost its worker.
    pub stalls: u32,
    /// Its deduplication id, if it has one.
    pub deduplication_id: Option<String>,
    /// Progress from a run before.
    pub progress: Option<Value>,
    /// Why its last run failed, if that is known.
    pub failed_reason: Option<String>,
    /// Traces of failed runs that are still stored, oldest first.
    pub stacktrace: Vec<String>,
    /// The job that waits for it, if it is a child.
    pub parent: Option<JobKey>,
    /// The worker's lease on it.
    pub claim: Claim,
}

impl<T> Job<T> {
    /// The same job with other data.
    pub(crate) fn with<U>(self, data: U) -> Job<U> {
        Job {
            data,
            id: self.id,
            name: self.name,
            options: self.options,
            priority: self.priority,
            timestamp: self.timestamp,
            retried_on: self.retried_on,
            attempts_made: self.attempts_made,
            attempts_started: self.attempts_started,
            stalls: self.stalls,
            deduplication_id: self.deduplication_id,
            progress: self.progress,
            failed_reason: self.failed_reason,
            stacktrace: self.stacktrace,
            parent: self.parent,
            claim: self.claim,
        }
    }
}

/// A job as Redis returns it, with the token of its lock.
pub(crate) struct TakenJob {
    pub(crate) id: String,
    pub(crate) token: String,
    fields: Fields,
    /// Length of data that is too long to be read, or 0.
    unread: u64,
}

/// A job's hash.
enum Fields {
    /// Of a job that has never run, as `poll_take.lua` returns it: the values of [`NEW`].
    New(Vec<RedisValue>),
    /// Field, value, field, value, ...
    Listed(Vec<RedisValue>),
}

/// Fields of a job that has never run, and has no parent, scheduler or deduplication id.
const NEW: [&str; 6] = ["name", "data", "opts", "timestamp", "delay", "priority"];

/// Why a job cannot be run.
pub(crate) enum Unfit {
    /// Its data has another type.
    Rejected(String),
    /// Its hash is broken.
    Poisoned(Poison),
}

/// Fields of a job that no client of BullMQ can read: they are replaced, and what they held is kept next to them.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Poison {
    pub(crate) reason: String,
    pub(crate) fields: Vec<&'static str>,
    /// JSON that replaces the data, if that is one of them.
    pub(crate) data: String,
}

impl TakenJob {
    /// Reads `{id, {field, value, field, value, ...}, bytes unread}`.
    pub(crate) fn from_answer(answer: RedisValue, token: &str) -> Result<Self, Error> {
        let RedisValue::Array(parts) = answer else { return Err(Error::UnexpectedAnswer("a job is no list")) };
        let [id, RedisValue::Array(fields), unread] =
            <[RedisValue; 3]>::try_from(parts).map_err(|_| Error::UnexpectedAnswer("a job has three parts"))?
        else {
            return Err(Error::UnexpectedAnswer("a job's fields are no list"));
        };
        Ok(Self { id: text(&id), token: token.to_owned(), fields: Fields::Listed(fields), unread: convert(unread)? })
    }

    /// As [`from_answer`](Self::from_answer), if that is possible. A job that cannot be read stays locked until it counts as
    /// stalled; the others are run.
    pub(crate) fn if_readable(answer: RedisValue, token: &str) -> Option<Self> {
        let job = Self::from_answer(answer, token);
        job.inspect_err(|error| tracing::error!(%error, "A job of a poll cannot be read")).ok()
    }

    /// Reads the jobs of a poll: lists as of [`from_answer`](Self::from_answer), or the values of [`NEW`] and the id.
    pub(crate) fn all_from_poll(mut answer: impl Iterator<Item = RedisValue>, token: &str) -> Result<Vec<Self>, Error> {
        let mut jobs = Vec::new();
        while let Some(first) = answer.next() {
            if let RedisValue::Array(_) = first {
                jobs.extend(Self::if_readable(first, token));
                continue;
            }
            let mut fields = Vec::with_capacity(NEW.len());
            fields.push(first);
            fields.extend(answer.by_ref().take(NEW.len() - 1));
            let id = answer.next().ok_or(Error::UnexpectedAnswer("a poll's answer ends within a job"))?;
            jobs.push(Self { id: text(&id), token: token.to_owned(), fields: Fields::New(fields), unread: 0 });
        }
        Ok(jobs)
    }

    /// Why the job must fail without another run, if it must: it stalled too often.
    pub(crate) fn deferred_failure(&self) -> Option<String> {
        self.field("defa").map(|reason| String::from_utf8_lossy(reason).into_owned())
    }

    pub(crate) fn name(&self) -> String {
        self.text("name")
    }

    pub(crate) fn attempts_made(&self) -> u32 {
        self.number("atm")
    }

    /// Runs that have started, this one included.
    pub(crate) fn attempts_started(&self) -> u32 {
        self.number("ats").saturating_add(1)
    }

    pub(crate) fn deduplication_id(&self) -> String {
        self.text("deid")
    }

    pub(crate) fn options(&self) -> serde_json::Result<JobOptions> {
        let opts = self.field("opts").map(lenient::read).transpose()?;
        Ok(opts.map_or_else(JobOptions::default, |opts: Value| JobOptions::from_json(&opts)))
    }

    /// Returns whether it is a child of a flow.
    pub(crate) fn is_child(&self) -> bool {
        self.field("parentKey").is_some()
    }

    /// Returns what its scheduler needs, if it has one.
    pub(crate) fn scheduled(&self) -> Option<Scheduled> {
        let scheduler = self.text("rjk");
        if scheduler.is_empty() && !self.id.starts_with("repeat:") {
            return None;
        }
        let opts = match self.json("opts") {
            Some(Value::Object(opts)) => opts,
            _ => serde_json::Map::new(),
        };
        let scheduler =
            if scheduler.is_empty() { legacy_name(&self.name(), opts.get("repeat")?.as_object()?) } else { scheduler };
        Some(Scheduled { id: self.id.clone(), scheduler, opts })
    }

    /// Traces of failed runs, oldest first.
    pub(crate) fn stacktrace(&self) -> Vec<String> {
        self.json("stacktrace").and_then(|traces| serde_json::from_value(traces).ok()).unwrap_or_default()
    }

    /// Returns the job for its handler, or why it cannot be run.
    pub(crate) fn open<T: DeserializeOwned>(
        &self,
        options: serde_json::Result<JobOptions>,
        claim: Claim,
    ) -> Result<Job<T>, Unfit> {
        // Data is not read twice: most of it has the right type.
        if (options.is_err() || self.is_suspect())
            && let Some(poison) = self.poison()
        {
            return Err(Unfit::Poisoned(poison));
        }
        let data = self.field("data").unwrap_or(b"{}");
        let data = read(data).map_err(|error| match self.poison() {
            Some(poison) => Unfit::Poisoned(poison),
            None => Unfit::Rejected(unreadable(&error)),
        })?;
        let options = options.unwrap_or_default();
        Ok(Job {
            id: self.id.clone(),
            name: self.name(),
            data,
            options,
            priority: self.number("priority"),
            timestamp: self.text("timestamp").parse().unwrap_or_default(),
            retried_on: self.text("retriedOn").parse().ok(),
            attempts_made: self.attempts_made(),
            attempts_started: self.attempts_started(),
            stalls: self.number("stc"),
            deduplication_id: Some(self.deduplication_id()).filter(|id| !id.is_empty()),
            progress: self.json("progress"),
            failed_reason: self.field("failedReason").map(|reason| String::from_utf8_lossy(reason).into_owned()),
            stacktrace: self.stacktrace(),
            parent: self.json("parent").and_then(|parent| JobKey::from_json(&parent)),
            claim,
        })
    }

    /// Returns whether something besides data and options may be unreadable.
    fn is_suspect(&self) -> bool {
        let is_there = |name: &str| self.field(name).is_some();
        self.unread > 0
            || !is_there("name")
            || is_there("progress")
            || is_there("parent")
            || self.field("opts") == Some(b"null")
    }

    /// Returns what makes the job unreadable, for dashboards too, if anything does.
    pub(crate) fn poison(&self) -> Option<Poison> {
        let mut broken = Vec::new();
        if self.unread > 0 {
            let reason = format!("the job's data has {} bytes, and {LONGEST_DATA} are read at most", self.unread);
            broken.push(("data", reason));
        }
        for (name, label) in [("data", "data"), ("opts", "options"), ("progress", "progress"), ("parent", "parent")] {
            let json = self.field(name).filter(|_| name != "data" || self.unread == 0);
            match json.map(lenient::check) {
                Some(Err(error)) => broken.push((name, format!("the job's {label} cannot be read: {error}"))),
                // JavaScript reads it, and then fails on what it has read.
                _ if name == "opts" && json == Some(b"null") => {
                    broken.push((name, "the job's options are null".into()));
                }
                _ => {}
            }
        }
        if self.field("name").is_none() {
            broken.push(("name", "the job has no name".into()));
        }
        let reason = broken.first()?.1.clone();
        let fields = broken.into_iter().map(|(name, _)| name).collect();
        let data = match (self.unread, self.field("data")) {
            (0, Some(data)) => Value::from(String::from_utf8_lossy(data)).to_string(),
            _ => String::new(),
        };
        Some(Poison { reason, fields, data })
    }

    fn field(&self, field: &str) -> Option<&[u8]> {
        match &self.fields {
            Fields::New(values) => values[NEW.iter().position(|name| *name == field)?].as_bytes(),
            Fields::Listed(fields) => {
                fields.chunks_exact(2).find(|pair| pair[0].as_bytes() == Some(field.as_bytes()))?[1].as_bytes()
            }
        }
    }

    fn text(&self, field: &str) -> String {
        self.field(field).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    fn number(&self, field: &str) -> u32 {
        self.field(field).and_then(|value| std::str::from_utf8(value).ok()?.parse().ok()).unwrap_or_default()
    }

    fn json(&self, field: &str) -> Option<Value> {
        self.field(field).and_then(|value| serde_json::from_slice(value).ok())
    }
}

/// Reads a job's data.
pub(crate) fn read<T: DeserializeOwned>(data: &[u8]) -> serde_json::Result<T> {
    lenient::read(data)
}

/// Returns why data cannot be read, without any of it.
pub(crate) fn unreadable(error: &serde_json::Error) -> String {
    format!("the job's data cannot be read: {}", without_content(&error.to_string()))
}

/// Removes quoted content from serde's message: it may be a secret.
fn without_content(message: &str) -> String {
    let cut = || {
        let (begins, ends) = (message.find(" string \"")? + " string".len(), message.rfind("\", expected ")? + 1);
        Some(format!("{}{}", message.get(..begins)?, message.get(ends..)?))
    };
    cut().unwrap_or_else(|| message.to_owned())
}

impl fmt::Debug for TakenJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TakenJob").field("id", &self.id).finish_non_exhaustive()
    }
}
