//! Reads jobs.

use std::{collections::HashMap, time::Duration};

use examhall_redis::{Value, convert};

use super::{JobRecord, Queue};
use crate::{Error, JobId, State, client::text, clock::millis, script};

/// Order of listed jobs.
/// ```no_run
/// # use examhall_queue::{Error, Queue, ListOrder, State};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let newest = queue.list(State::Failed, 0, 20, ListOrder::NewestFirst).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ListOrder {
    /// Jobs that run next or ended first come first.
    #[default]
    OldestFirst,
    /// Jobs that run last or ended last come first.
    NewestFirst,
}

/// The job of a priority that has waited longest.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// for oldest in queue.oldest_waiting().await? {
///     println!("priority {}: waits since {}", oldest.priority, oldest.timestamp);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct OldestWaiting {
    /// BullMQ's priority: 1 goes first; 0, none, before all.
    pub priority: u32,
    /// When it was added, in ms since 1970.
    pub timestamp: i64,
    /// Number of ready jobs of this priority.
    pub jobs: u64,
}

/// Number of jobs that ended within a time and are still stored.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let last_hour = queue.ended_within(std::time::Duration::from_secs(3600)).await?;
/// println!("{} completed, {} failed", last_hour.completed, last_hour.failed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct EndedCounts {
    /// Done.
    pub completed: i64,
    /// Failed for good.
    pub failed: i64,
}

impl<T> Queue<T> {
    /// Reads the job with this id, if there is one.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn get(&self, id: &str) -> Result<Option<JobRecord>, Error> {
        JobId::new(id)?;
        let Value::Array(parts) = self.eval(&script::GET, vec![id.into()]).await? else {
            return Err(Error::UnexpectedAnswer("a job is not a list"));
        };
        let Ok([place, Value::Array(hash), due]) = <[Value; 3]>::try_from(parts) else { return Ok(None) };
        let place: String = convert(place)?;
        match State::from_place(&place) {
            Some(state) if !hash.is_empty() => Ok(Some(JobRecord::new(id.to_owned(), state, hash, convert(due)?))),
            _ => Ok(None),
        }
    }

    /// Reads the states of jobs; `None` if there is no such job, or if it is in no state, after an eviction or a `DEL`.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn states(&self, ids: &[String]) -> Result<Vec<Option<State>>, Error> {
        let places: Vec<String> = self.eval(&script::STATES, ids.iter().map(Into::into).collect()).await?;
        let state = |(id, place): (&String, &String)| JobId::new(id).ok().and_then(|_| State::from_place(place));
        Ok(ids.iter().zip(&places).map(state).collect())
    }

    /// Deletes what is left of jobs that are in no state, after an eviction or a `DEL`: it would never run, and block its
    /// id. Returns the ids of jobs of which something was left; a job that is in a state stays, and so does what only
    /// BullMQ can handle.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn remove_orphaned(&self, ids: &[String]) -> Result<Vec<String>, Error> {
        let ids = ids.iter().filter(|id| JobId::new(*id).is_ok()).map(Into::into).collect();
        self.eval(&script::REMOVE_ORPHANED, ids).await
    }

    /// Lists up to `count` jobs of one state, after the first `skip`.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{ListOrder, Queue, State};
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// let second_page = queue.list(State::Delayed, 50, 50, ListOrder::OldestFirst).await?;
    /// for line in queue.logs(&second_page[0].id, 0, 100).await? {
    ///     println!("{line}");
    /// }
    /// let ended = queue.ended_within(Duration::from_secs(60)).await?;
    /// println!("{} done a minute, {} failed; workers: {:?}", ended.completed, ended.failed, queue.workers().await?);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn list(&self, state: State, skip: u32, count: u32, order: ListOrder) -> Result<Vec<JobRecord>, Error> {
        let newest = if order == ListOrder::NewestFirst { "1" } else { "0" };
        let args = vec![state.as_str().into(), skip.into(), count.into(), newest.into()];
        let Value::Array(jobs) = self.eval(&script::LIST, args).await? else {
            return Err(Error::UnexpectedAnswer("jobs are not a list"));
        };
        jobs.into_iter()
            .map(|job| match job {
                Value::Array(parts) => match <[Value; 3]>::try_from(parts) {
                    Ok([id, Value::Array(hash), due]) => Ok(JobRecord::new(text(&id), state, hash, convert(due)?)),
                    _ => Err(Error::UnexpectedAnswer("a listed job does not have three parts")),
                },
                _ => Err(Error::UnexpectedAnswer("a listed job is not a list")),
            })
            .collect()
    }

    /// Reads up to `count` lines of a job's log after the first `skip`, oldest first.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn logs(&self, id: &str, skip: u32, count: u32) -> Result<Vec<String>, Error> {
        JobId::new(id)?;
        if count == 0 {
            return Ok(Vec::new());
        }
        let last = i64::from(skip) + i64::from(count) - 1;
        let key = self.client.keys().of(id) + ":logs";
        self.client.command("LRANGE", &key, &[&skip.to_string(), &last.to_string()]).await
    }

    /// Reads which job of each priority has waited longest, and how many wait. The time of a priority that starves does not change.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn oldest_waiting(&self) -> Result<Vec<OldestWaiting>, Error> {
        let numbers: Vec<i64> = self.eval(&script::OLDEST_WAITING, vec![]).await?;
        let oldest = |three: &[i64]| {
            Some(OldestWaiting {
                priority: three[0].try_into().ok()?,
                timestamp: three[1],
                jobs: three[2].try_into().ok()?,
            })
        };
        Ok(numbers.chunks_exact(3).filter_map(oldest).collect())
    }

    /// Counts the jobs that ended within the last `span` and are still stored.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn ended_within(&self, span: Duration) -> Result<EndedCounts, Error> {
        let from = self.client.now().await.saturating_sub_unsigned(millis(span)).to_string();
        let count = async |set| self.client.command("ZCOUNT", &self.client.keys().of(set), &[&from, "+inf"]).await;
        Ok(EndedCounts { completed: count("completed").await?, failed: count("failed").await? })
    }

    /// Reads the fields of a job's hash as text; empty if there is no such job.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn raw(&self, id: &str) -> Result<HashMap<String, String>, Error> {
        JobId::new(id)?;
        let hash: HashMap<Vec<u8>, Vec<u8>> = self.client.command("HGETALL", &self.client.keys().of(id), &[]).await?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(hash.into_iter().map(|(field, value)| (text(field), text(value))).collect())
    }
}
