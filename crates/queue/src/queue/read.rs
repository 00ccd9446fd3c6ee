//! Looking at jobs.

use std::{collections::HashMap, time::Duration};

use examhall_redis::{Route, Value, convert};

use super::{JobRecord, Queue};
use crate::{Error, State, clock::now_ms, script};

/// In which order jobs are listed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    /// Those first that run next or that ended first.
    #[default]
    OldestFirst,
    /// Those first that run last or that ended last.
    NewestFirst,
}

/// Since when the first job of a priority waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// BullMQ's priority: 1 goes first; 0, none, before all.
    pub priority: u32,
    /// When that job was added, in ms since 1970.
    pub timestamp: i64,
}

/// How many jobs have ended lately, of those that are still kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// Done.
    pub completed: i64,
    /// Failed for good.
    pub failed: i64,
}

impl<T> Queue<T> {
    /// One job, if there is one with this id.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn get(&self, id: &str) -> Result<Option<JobRecord>, Error> {
        let Value::Array(parts) = self.eval(&script::GET, vec![id.into()]).await? else {
            return Err(Error::UnexpectedAnswer("a job is no list"));
        };
        let Ok([place, Value::Array(hash), due]) = <[Value; 3]>::try_from(parts) else { return Ok(None) };
        let place: String = convert(place)?;
        match State::from_place(&place) {
            Some(state) if !hash.is_empty() => JobRecord::new(id.to_owned(), state, hash, convert(due)?).map(Some),
            _ => Ok(None),
        }
    }

    /// The states of jobs; `None` where there is no such job. What is left of a job that no list holds, after an eviction or
    /// a `DEL`, is removed, so that a job can be added under its id.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn states(&self, ids: &[String]) -> Result<Vec<Option<State>>, Error> {
        let places: Vec<String> = self.eval(&script::STATES, ids.iter().map(Into::into).collect()).await?;
        Ok(places.iter().map(|place| State::from_place(place)).collect())
    }

    /// Up to `count` jobs of one state, after the first `skip`.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{Order, Queue, State};
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// let second_page = queue.list(State::Delayed, 50, 50, Order::OldestFirst).await?;
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
    /// [`Error::Redis`].
    pub async fn list(&self, state: State, skip: u32, count: u32, order: Order) -> Result<Vec<JobRecord>, Error> {
        let newest = if order == Order::NewestFirst { "1" } else { "0" };
        let args = vec![state.as_str().into(), skip.into(), count.into(), newest.into()];
        let Value::Array(jobs) = self.eval(&script::LIST, args).await? else {
            return Err(Error::UnexpectedAnswer("jobs are no list"));
        };
        jobs.into_iter()
            .map(|job| match job {
                Value::Array(parts) => match <[Value; 3]>::try_from(parts) {
                    Ok([id, Value::Array(hash), due]) => JobRecord::new(convert(id)?, state, hash, convert(due)?),
                    _ => Err(Error::UnexpectedAnswer("a listed job has three parts")),
                },
                _ => Err(Error::UnexpectedAnswer("a listed job is no list")),
            })
            .collect()
    }

    /// The lines of a job's log, oldest first: up to `count` after the first `skip`.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn logs(&self, id: &str, skip: u32, count: u32) -> Result<Vec<String>, Error> {
        let last = i64::from(skip) + i64::from(count) - 1;
        let key = self.keys.of(id) + ":logs";
        let args = vec![key.as_str().into(), skip.into(), last.into()];
        Ok(self.connection.command("LRANGE", Route::Key(&key), args).await?)
    }

    /// Since when the first job of each priority waits. Where one starves, its time stands still.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn oldest_waiting(&self) -> Result<Vec<Oldest>, Error> {
        let numbers: Vec<i64> = self.eval(&script::OLDEST, vec![]).await?;
        let oldest = |pair: &[i64]| u32::try_from(pair[0]).ok().map(|priority| Oldest { priority, timestamp: pair[1] });
        Ok(numbers.chunks_exact(2).filter_map(oldest).collect())
    }

    /// How many jobs ended within the last `span`, of those that are still kept.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn ended_within(&self, span: Duration) -> Result<Ended, Error> {
        let from = now_ms().saturating_sub(i64::try_from(span.as_millis()).unwrap_or(i64::MAX));
        let count = async |set: &str| -> Result<i64, Error> {
            let key = self.keys.of(set);
            let args = vec![key.as_str().into(), from.to_string().into(), "+inf".into()];
            Ok(self.connection.command("ZCOUNT", Route::Key(&key), args).await?)
        };
        Ok(Ended { completed: count("completed").await?, failed: count("failed").await? })
    }

    /// The fields of a job's hash, as text; none where there is no such job.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn raw(&self, id: &str) -> Result<HashMap<String, String>, Error> {
        let key = self.keys.of(id);
        Ok(self.connection.command("HGETALL", Route::Key(&key), vec![key.as_str().into()]).await?)
    }
}
