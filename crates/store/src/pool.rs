//! A pool of connections that read, and retries on another connection.

use sea_orm::{
    ConnectionTrait, DatabaseConnection, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement,
};

use crate::connect::Connector;

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
