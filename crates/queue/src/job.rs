//! A job as a worker gets it.

use std::collections::HashMap;

use fred::types::Value as RedisValue;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Error, JobOptions};

/// A job in the hands of a worker.
#[derive(Clone, Debug, PartialEq)]
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
}

/// A job as Redis has it, with the token that its lock was taken with.
pub(crate) struct TakenJob {
    pub(crate) id: String,
    pub(crate) token: String,
    fields: HashMap<String, Vec<u8>>,
}

impl TakenJob {
    /// Reads `{id, {field, value, ...}, token}`.
    pub(crate) fn from_answer(answer: RedisValue) -> Result<Self, Error> {
        let RedisValue::Array(parts) = answer else { return Err(Error::UnexpectedAnswer("a job is no list")) };
        let [id, RedisValue::Array(hash), token] =
            <[RedisValue; 3]>::try_from(parts).map_err(|_| Error::UnexpectedAnswer("a job has three parts"))?
        else {
            return Err(Error::UnexpectedAnswer("a job's hash is no list"));
        };
        let mut fields = HashMap::with_capacity(hash.len() / 2);
        let mut hash = hash.into_iter();
        while let (Some(field), Some(value)) = (hash.next(), hash.next()) {
            fields.insert(field.convert()?, value.into_owned_bytes().unwrap_or_default());
        }
        Ok(Self { id: id.convert()?, token: token.convert()?, fields })
    }

    /// What was decided about the job before: it is to fail without being run.
    pub(crate) fn deferred_failure(&self) -> Option<String> {
        self.fields.get("defa").map(|reason| String::from_utf8_lossy(reason).into_owned())
    }

    pub(crate) fn attempts_made(&self) -> u32 {
        self.number("atm")
    }

    pub(crate) fn options(&self) -> JobOptions {
        self.json("opts").map_or_else(JobOptions::default, |opts| JobOptions::from_json(&opts))
    }

    /// Traces of failed runs, oldest first.
    pub(crate) fn stacktrace(&self) -> Vec<String> {
        self.json("stacktrace").and_then(|traces| serde_json::from_value(traces).ok()).unwrap_or_default()
    }

    /// The job for its handler, or why it cannot be run.
    pub(crate) fn open<T: DeserializeOwned>(&self) -> Result<Job<T>, String> {
        if !self.fields.contains_key("name") {
            return Err("the job's hash is missing".to_owned());
        }
        let data = self.fields.get("data").map_or(&b"{}"[..], Vec::as_slice);
        Ok(Job {
            id: self.id.clone(),
            name: self.text("name"),
            data: serde_json::from_slice(data).map_err(|error| format!("the job's data cannot be read: {error}"))?,
            options: self.options(),
            priority: self.number("priority"),
            timestamp: self.text("timestamp").parse().unwrap_or_default(),
            attempts_made: self.attempts_made(),
            attempts_started: self.number("ats"),
        })
    }

    fn text(&self, field: &str) -> String {
        self.fields.get(field).map(|value| String::from_utf8_lossy(value).into_owned()).unwrap_or_default()
    }

    fn number(&self, field: &str) -> u32 {
        self.text(field).parse().unwrap_or_default()
    }

    fn json(&self, field: &str) -> Option<Value> {
        self.fields.get(field).and_then(|value| serde_json::from_slice(value).ok())
    }
}
