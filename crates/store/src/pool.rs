//! Connections of a pool that are replaced once one of them is found unfit: after a fail-over all of them point to the
//! server that was.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
    sqlx::pool::PoolConnectionMetadata,
};

use crate::{connect::Connector, fault::Fault};

/// Connections are replaced at most this often: while the server stays read-only, new ones are as unfit as the old.
const PAUSE: Duration = Duration::from_secs(1);
/// As [`PAUSE`], where new connections are certainly good: statements that were prepared before are out of date.
const SHORT_PAUSE: Duration = Duration::from_millis(50);
/// One outage is logged at most this often.
const LOG_PAUSE: Duration = Duration::from_mins(1);

/// Moment before which connections were made that are not used again. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Retirement(Arc<Mutex<Marks>>);

#[derive(Debug, Default)]
struct Marks {
    retired: Option<Instant>,
    logged: Option<Instant>,
}

impl Retirement {
    /// Classifies an error, and retires all connections made until now if it says that they are unfit.
    pub(crate) fn note(&self, error: &DbErr) -> Option<Fault> {
        let fault = Fault::of(error);
        if fault.is_some_and(Fault::spoils_connections) {
            self.retire_after(if fault == Some(Fault::Outdated) { SHORT_PAUSE } else { PAUSE }, error);
        }
        fault
    }

    /// Retires all connections made until now, because of `reason`.
    pub(crate) fn retire(&self, reason: &dyn std::fmt::Display) {
        self.retire_after(PAUSE, reason);
    }

    fn retire_after(&self, pause: Duration, reason: &dyn std::fmt::Display) {
        let now = Instant::now();
        let is_due = |last: Option<Instant>, pause| last.is_none_or(|last| now.duration_since(last) >= pause);
        let mut marks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_due(marks.retired, pause) {
            return;
        }
        marks.retired = Some(now);
        if is_due(marks.logged, LOG_PAUSE) {
            marks.logged = Some(now);
            tracing::warn!(%reason, "Database connections are replaced");
        }
    }

    /// Returns whether a connection may be used.
    pub(crate) fn allows(&self, connection: &PoolConnectionMetadata) -> bool {
        let retired = self.0.lock().unwrap_or_else(PoisonError::into_inner).retired;
        retired.is_none_or(|retired| connection.age < retired.elapsed())
    }

    /// Returns whether connections were retired within the last `span`.
    pub(crate) fn is_within(&self, span: Duration) -> bool {
        let retired = self.0.lock().unwrap_or_else(PoisonError::into_inner).retired;
        retired.is_some_and(|retired| retired.elapsed() <= span)
    }
}

/// Connections that read. A statement that fails because of its connection is run again once, on another.
#[derive(Clone, Debug)]
pub(crate) struct Reader {
    pub(crate) pool: DatabaseConnection,
    pub(crate) connector: Connector,
}

impl Reader {
    async fn run<T, F>(&self, read: impl Fn() -> F) -> Result<T, DbErr>
    where
        F: Future<Output = Result<T, DbErr>>,
    {
        let note = |done: &Result<T, DbErr>| self.connector.retirement.note(done.as_ref().err()?);
        let mut done = read().await;
        if note(&done).is_some_and(|fault| fault.is_worth_a_retry() || fault.spoils_connections()) {
            done = read().await;
            note(&done);
        }
        done
    }

    /// The transaction that even one statement needs behind a pooler: it is prepared in one round trip to the server and
    /// run in the next.
    async fn transaction(&self) -> Result<Option<DatabaseTransaction>, DbErr> {
        if !self.connector.is_pooled {
            return Ok(None);
        }
        self.connector.begin(&self.pool).await.map(Some)
    }

    async fn execute_in(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        let Some(tx) = self.transaction().await? else { return self.pool.execute_raw(statement).await };
        let done = tx.execute_raw(statement).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn query_one_in(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let Some(tx) = self.transaction().await? else { return self.pool.query_one_raw(statement).await };
        let done = tx.query_one_raw(statement).await?;
        tx.commit().await?;
        Ok(done)
    }

    async fn query_all_in(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Some(tx) = self.transaction().await? else { return self.pool.query_all_raw(statement).await };
        let done = tx.query_all_raw(statement).await?;
        tx.commit().await?;
        Ok(done)
    }
}

#[async_trait::async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DbBackend {
        self.pool.get_database_backend()
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.run(|| self.execute_in(statement.clone())).await
    }

    async fn execute_unprepared(&self, sql: &str) -> Result<ExecResult, DbErr> {
        self.run(|| self.pool.execute_unprepared(sql)).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.run(|| self.query_one_in(statement.clone())).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.run(|| self.query_all_in(statement.clone())).await
    }
}
