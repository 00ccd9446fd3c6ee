//! Adding jobs.

use std::{collections::HashMap, marker::PhantomData};

use fred::types::{ClusterHash, Value};
use serde::Serialize;

use crate::{
    Connection, Error, JobOptions,
    clock::now_ms,
    keys::{Keys, check_job_id},
    script,
};

/// One BullMQ queue whose jobs carry a `T`. Cheap to clone.
pub struct Queue<T> {
    connection: Connection,
    keys: Keys,
    payload: PhantomData<fn() -> T>,
}

/// A job to be added.
#[derive(Clone, Debug)]
pub struct NewJob<T> {
    /// What kind of job it is.
    pub name: String,
    /// What the worker needs.
    pub data: T,
    /// How it is to be run and kept.
    pub options: JobOptions,
}

/// How many jobs there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready, without a priority; those of a paused queue too.
    pub waiting: i64,
    /// Ready, with a priority.
    pub prioritized: i64,
    /// To be run later.
    pub delayed: i64,
    /// In the hands of workers.
    pub active: i64,
    /// Done, and still kept.
    pub completed: i64,
    /// Failed for good, and still kept.
    pub failed: i64,
    /// When the earliest delayed job is due, in ms since 1970.
    pub next_due: Option<i64>,
}

impl<T> Queue<T> {
    /// The queue `name` under the key prefix `prefix` (BullMQ's default is `bull`).
    ///
    /// # Errors
    /// [`Error::BadQueueName`] where BullMQ could not use the names.
    pub fn new(connection: Connection, prefix: &str, name: &str) -> Result<Self, Error> {
        Ok(Self { connection, keys: Keys::new(prefix, name)?, payload: PhantomData })
    }

    /// The connection that it uses.
    pub fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) async fn eval(&self, script: &script::Script, args: Vec<Value>) -> Result<Value, Error> {
        self.connection.eval(script, &self.keys.of("meta"), args).await
    }

    /// How many jobs there are in each state.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn counts(&self) -> Result<Counts, Error> {
        let numbers: Vec<i64> = self.eval(&script::COUNTS, vec![]).await?.convert()?;
        let [waiting, prioritized, delayed, active, completed, failed, next_due] =
            numbers.try_into().map_err(|_| Error::UnexpectedAnswer("counts gives seven numbers"))?;
        let next_due = Some(next_due).filter(|due| *due > 0);
        Ok(Counts { waiting, prioritized, delayed, active, completed, failed, next_due })
    }

    /// The fields of a job's hash, as text; none where there is no such job.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn raw(&self, id: &str) -> Result<HashMap<String, String>, Error> {
        let answer = self.connection.command("HGETALL", ClusterHash::FirstKey, vec![self.keys.of(id).into()]).await?;
        Ok(answer.convert()?)
    }
}

impl<T: Serialize> Queue<T> {
    /// Adds one job and gives its id. Where the id is taken, nothing is changed.
    ///
    /// # Errors
    /// See [`Error`]. After [`Error::Redis`] it may have been added or not; with an id of its own it can be added again.
    pub async fn add(&self, job: NewJob<T>) -> Result<String, Error> {
        let ids = self.add_all(std::slice::from_ref(&job)).await?;
        ids.into_iter().next().ok_or(Error::UnexpectedAnswer("add gave no id"))
    }

    /// Adds jobs, all or none of them, and gives their ids in the same order.
    ///
    /// # Errors
    /// As [`add`](Self::add).
    pub async fn add_all(&self, jobs: &[NewJob<T>]) -> Result<Vec<String>, Error> {
        if jobs.is_empty() {
            return Ok(Vec::new());
        }
        let now = now_ms();
        let args: Vec<[Value; 7]> = jobs.iter().map(|job| to_args(job, now)).collect::<Result<_, _>>()?;
        Ok(self.eval(&script::ADD, args.into_iter().flatten().collect()).await?.convert()?)
    }
}

fn to_args<T: Serialize>(job: &NewJob<T>, now: i64) -> Result<[Value; 7], Error> {
    let options = &job.options;
    if let Some(id) = &options.job_id {
        check_job_id(id)?;
    }
    if options.priority > JobOptions::MAX_PRIORITY {
        return Err(Error::BadPriority(options.priority));
    }
    Ok([
        options.job_id.as_deref().unwrap_or_default().into(),
        job.name.as_str().into(),
        serde_json::to_string(&job.data)?.into(),
        options.to_json().into(),
        now.into(),
        u64::try_from(options.delay.as_millis()).unwrap_or(u64::MAX).to_string().into(),
        options.priority.into(),
    ])
}

impl<T> Clone for Queue<T> {
    fn clone(&self) -> Self {
        Self { connection: self.connection.clone(), keys: self.keys.clone(), payload: PhantomData }
    }
}

impl<T> std::fmt::Debug for Queue<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Queue").field("keys", &self.keys).finish_non_exhaustive()
    }
}
