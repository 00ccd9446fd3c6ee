//! Reads what a parent knows of its children.

use std::collections::HashMap;

use examhall_redis::FromValue;
use serde_json::Value;

use super::JobKey;
use crate::{Claim, Error, Queue, client::Client, script};

/// Children of a job by how they ended, each by its key, as in `bull:pages:7`.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Dependencies {
    /// Those that completed, with their values.
    pub processed: HashMap<String, Value>,
    /// Those that the job waits for.
    pub unprocessed: Vec<String>,
    /// Those that failed and that the job goes on without, with the reasons.
    pub ignored: HashMap<String, String>,
    /// Those that failed and that fail the job, too.
    pub failed: Vec<String>,
}

/// Number of children of a job by how they ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct DependencyCounts {
    /// Those that completed.
    pub processed: u64,
    /// Those that the job waits for.
    pub unprocessed: u64,
    /// Those that failed and that the job goes on without.
    pub ignored: u64,
    /// Those that failed and that fail the job, too.
    pub failed: u64,
}

async fn read<R: FromValue>(client: &Client, command: &'static str, id: &str, part: &str) -> Result<R, Error> {
    let range: &[&str] = if command == "ZRANGE" { &["0", "-1"] } else { &[] };
    client.command(command, &client.keys().of(&format!("{id}:{part}")), range).await
}

/// A value that is no JSON counts as text.
async fn children_values(client: &Client, id: &str) -> Result<HashMap<String, Value>, Error> {
    let values: HashMap<String, String> = read(client, "HGETALL", id, "processed").await?;
    let to_json = |text: String| serde_json::from_str(&text).unwrap_or(Value::from(text));
    Ok(values.into_iter().map(|(child, text)| (child, to_json(text))).collect())
}

impl<T> Queue<T> {
    /// Returns the values of a job's completed children, by the children's keys.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn children_values(&self, id: &str) -> Result<HashMap<String, Value>, Error> {
        children_values(self.client(), id).await
    }

    /// Returns why children failed that a job goes on without, by the children's keys. BullMQ's
    /// `getIgnoredChildrenFailures`, before `getFailedChildrenValues`.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn ignored_children_failures(&self, id: &str) -> Result<HashMap<String, String>, Error> {
        read(self.client(), "HGETALL", id, "failed").await
    }

    /// Returns a job's children by how they ended.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn dependencies(&self, id: &str) -> Result<Dependencies, Error> {
        let client = self.client();
        Ok(Dependencies {
            processed: children_values(client, id).await?,
            unprocessed: read(client, "SMEMBERS", id, "dependencies").await?,
            ignored: read(client, "HGETALL", id, "failed").await?,
            failed: read(client, "ZRANGE", id, "unsuccessful").await?,
        })
    }

    /// Counts a job's children by how they ended.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn dependency_counts(&self, id: &str) -> Result<DependencyCounts, Error> {
        let client = self.client();
        Ok(DependencyCounts {
            processed: read(client, "HLEN", id, "processed").await?,
            unprocessed: read(client, "SCARD", id, "dependencies").await?,
            ignored: read(client, "HLEN", id, "failed").await?,
            failed: read(client, "ZCARD", id, "unsuccessful").await?,
        })
    }

    /// Removes the children of a job that have not started, and theirs. A job that waited for no other child is ready.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn remove_unprocessed_children(&self, id: &str) -> Result<u64, Error> {
        self.eval(&script::REMOVE_UNPROCESSED_CHILDREN, vec![id.into()]).await
    }
}

impl Claim {
    /// Returns the values of the job's completed children, by the children's keys, as in `bull:pages:7`.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn children_values(&self) -> Result<HashMap<String, Value>, Error> {
        match self.client() {
            Some(client) => children_values(client, self.id()).await,
            None => Ok(HashMap::new()),
        }
    }

    /// Returns why children failed that the job goes on without, by the children's keys.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn ignored_children_failures(&self) -> Result<HashMap<String, String>, Error> {
        match self.client() {
            Some(client) => read(client, "HGETALL", self.id(), "failed").await,
            None => Ok(HashMap::new()),
        }
    }

    /// Returns the job's key, for children that its handler adds and then waits for:
    /// ```no_run
    /// # use examhall_queue::{FlowJob, FlowProducer, Job, Outcome};
    /// # struct App { flows: FlowProducer }
    /// async fn bind(app: &App, job: Job<String>) -> Result<usize, Outcome> {
    ///     let pages = job.claim.children_values().await?;
    ///     if pages.is_empty() {
    ///         let page = FlowJob::new("pages", "render", &1)?;
    ///         app.flows.add(&page.parent(job.claim.key().expect("a job of a queue"))).await?;
    ///         return Err(Outcome::WaitingChildren); // this handler is called again when the page has ended
    ///     }
    ///     Ok(pages.len())
    /// }
    /// ```
    /// `None` for a [detached](Self::detached) claim.
    pub fn key(&self) -> Option<JobKey> {
        self.client().map(|client| JobKey::of(client.keys(), self.id()))
    }
}
