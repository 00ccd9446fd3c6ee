//! Reads schedulers.

use std::collections::HashMap;

use examhall_redis::{Value, convert};
use serde_json::Value as Json;

use super::Repeat;
use crate::{Error, JobOptions, ListOrder, Queue, script};

/// A scheduler as it is stored. Fields that cannot be read count as absent.
/// ```no_run
/// # use examhall_queue::{Error, ListOrder, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// for scheduler in queue.job_schedulers(0, 100, ListOrder::OldestFirst).await? {
///     println!("{}: next at {}", scheduler.id, scheduler.next);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobScheduler {
    /// Its id.
    pub id: String,
    /// Name of its jobs.
    pub name: String,
    /// When its jobs run; absent if it cannot be read.
    pub repeat: Option<Repeat>,
    /// When its next job runs, in ms since 1970.
    pub next: i64,
    /// Number of jobs that it has added.
    pub iterations: u64,
    /// Data of its jobs; a string if it is no JSON.
    pub data: Json,
    /// Options of its jobs.
    pub options: JobOptions,
}

impl<T> Queue<T> {
    /// Reads the scheduler with this id, if there is one.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn job_scheduler(&self, id: &str) -> Result<Option<JobScheduler>, Error> {
        if id.is_empty() {
            return Ok(None);
        }
        Ok(self.schedulers(vec![id.into()]).await?.into_iter().next())
    }

    /// Lists up to `count` schedulers, after the first `skip`, by the time of their next job.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn job_schedulers(&self, skip: u32, count: u32, order: ListOrder) -> Result<Vec<JobScheduler>, Error> {
        let last_first = if order == ListOrder::NewestFirst { "1" } else { "0" };
        self.schedulers(vec!["".into(), skip.into(), count.into(), last_first.into()]).await
    }

    /// Returns the number of schedulers.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn job_scheduler_count(&self) -> Result<u64, Error> {
        let client = self.client();
        client.command("ZCARD", &client.keys().of("repeat"), &[]).await
    }

    async fn schedulers(&self, args: Vec<Value>) -> Result<Vec<JobScheduler>, Error> {
        let Value::Array(schedulers) = self.eval(&script::LIST_SCHEDULERS, args).await? else {
            return Err(Error::UnexpectedAnswer("schedulers are not a list"));
        };
        schedulers.into_iter().map(JobScheduler::from_answer).collect()
    }
}

impl JobScheduler {
    /// Reads `{id, time of the next job, hash}`.
    fn from_answer(answer: Value) -> Result<Self, Error> {
        let (id, next, hash): (String, i64, Vec<Value>) = convert(answer)?;
        let mut fields = HashMap::with_capacity(hash.len() / 2);
        let mut hash = hash.into_iter();
        while let (Some(name), Some(value)) = (hash.next(), hash.next()) {
            let [name, value] = [name, value].map(|text| text.into_owned_bytes().unwrap_or_default());
            fields.insert(String::from_utf8_lossy(&name).into_owned(), String::from_utf8_lossy(&value).into_owned());
        }
        let field = |name: &str| fields.get(name).cloned();
        let json = |name: &str| field(name).map(|text| serde_json::from_str(&text).unwrap_or(Json::from(text)));
        Ok(Self {
            name: field("name").unwrap_or_default(),
            repeat: Repeat::from_fields(field),
            next,
            iterations: field("ic").and_then(|count| count.parse().ok()).unwrap_or_default(),
            data: json("data").unwrap_or_else(|| Json::Object(serde_json::Map::new())),
            options: json("opts").map_or_else(JobOptions::default, |opts| JobOptions::from_json(&opts)),
            id,
        })
    }
}
