//! Connections that all parts of the store share: many to read, and for SQLite one to write.

use std::{
    fmt,
    sync::{Arc, OnceLock},
    time::Duration,
};

use sea_orm::{ConnectionTrait, DatabaseConnection, DatabaseTransaction, QueryResult, Statement};
use uuid::Uuid;

use crate::{Error, connect::Connector, fault::Fault, pool::Reader};

/// Receives commits that make cached values stale: the cache, behind a name that knows no Redis.
#[async_trait::async_trait]
pub trait CommitHook: fmt::Debug + Send + Sync {
    /// The values of `keys` are about to become stale: from now on nothing that was read before may be cached.
    async fn before(&self, commit: Uuid, keys: &[String]);

    /// The commit has ended. Returns whether the cache has removed the old values.
    async fn after(&self, commit: Uuid, keys: &[String], outcome: CommitOutcome) -> bool;
}

/// How a commit has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommitOutcome {
    /// What is read from now on includes its changes.
    Committed,
    /// The database answered with an error, or not at all: it may have happened, or may still happen.
    Unknown,
}

/// Connections that all parts of the store share.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    pub(crate) read: Reader,
    pub(crate) write: DatabaseConnection,
    pub(crate) connector: Connector,
    pub(crate) hook: Arc<OnceLock<Arc<dyn CommitHook>>>,
}

/// Pause before a transaction is run again, in ms; random, so that several do not meet again.
const RETRY_PAUSE_MS: std::ops::Range<u64> = 20..60;

impl Db {
    /// Runs a transaction, and once more if the first run met a deadlock or a connection that takes no writes: then
    /// nothing of it was committed. `work` begins and commits it; each run must be whole.
    pub(crate) async fn retry<T, F>(&self, work: impl Fn() -> F) -> Result<T, Error>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut done = work().await;
        if self.note(&done).is_some_and(Fault::is_worth_a_retry) {
            metrics::counter!("store_retries_total").increment(1);
            // The winner of a deadlock goes first: at once, this one could take the same lock before it and lose again.
            tokio::time::sleep(Duration::from_millis(fastrand::u64(RETRY_PAUSE_MS))).await;
            done = work().await;
            self.note(&done);
        }
        done
    }

    pub(crate) fn note<T>(&self, done: &Result<T, Error>) -> Option<Fault> {
        match done {
            Err(Error::Unavailable(error)) => self.connector.retirement.note(error),
            _ => None,
        }
    }

    /// Begins a transaction that writes; dropping it takes everything back.
    pub(crate) async fn begin(&self) -> Result<DatabaseTransaction, Error> {
        Ok(self.connector.begin(&self.write).await?)
    }

    /// Runs one statement that writes, without a transaction around it where that is safe; returns its first row.
    pub(crate) async fn write_one(&self, statement: Statement) -> Result<Option<QueryResult>, Error> {
        // All rows: SQLite ends a statement, and so commits it, once its last row is read.
        let rows = if self.connector.is_pooled {
            let tx = self.begin().await?;
            let rows = tx.query_all_raw(statement).await?;
            tx.commit().await?;
            rows
        } else {
            self.write.query_all_raw(statement).await?
        };
        Ok(rows.into_iter().next())
    }
}
