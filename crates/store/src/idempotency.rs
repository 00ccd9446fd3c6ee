//! Idempotency keys: a request that is sent again changes nothing again and gets the first answer.
//!
//! The transaction that does the work reserves the key as its first step and stores the answer as its last. A duplicate
//! that comes meanwhile waits at the unique index: it reads the answer once that transaction is committed, or does the
//! work itself if it was rolled back. So a failed request leaves its key free.

use std::time::Duration;

use examhall_core::{Timestamp, UserId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, Statement, sea_query::Expr,
};
use uuid::Uuid;

use crate::{Error, entity::idempotency_key as row};

/// How long a key is remembered.
pub(crate) const LIFE: Duration = Duration::from_hours(24);

/// Takes the key, if nobody has it or its time is over.
const RESERVE: &str = "
INSERT INTO idempotency_keys (id, user_id, key, request_hash, made_id, version, body, created_at)
VALUES ($1, $2, $3, $4, $5, 0, '', $6)
ON CONFLICT (user_id, key) DO UPDATE SET id = excluded.id, request_hash = excluded.request_hash,
    made_id = excluded.made_id, version = excluded.version, body = excluded.body, created_at = excluded.created_at
WHERE idempotency_keys.created_at < $7";

/// A request that is to be done once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotentRequest {
    /// Whose key it is: keys of different users are independent.
    pub user: UserId,
    /// The key.
    pub key: String,
    /// Hash of what is asked; the same for every repetition.
    pub hash: Vec<u8>,
}

/// The answer to the first request with a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstAnswer {
    /// The id of what the request made.
    pub id: Uuid,
    /// The version that it had then.
    pub version: i64,
    /// What it was then, as JSON.
    pub body: String,
}

impl FirstAnswer {
    pub(crate) fn new(id: Uuid, version: i64, body: serde_json::Result<String>) -> Result<Self, Error> {
        let body = body.map_err(|_| Error::Corrupt { table: "idempotency_keys", column: "body" })?;
        Ok(Self { id, version, body })
    }
}

impl IdempotentRequest {
    /// Reserves the key for a transaction, or returns the answer that another one has given.
    pub(crate) async fn reserve(&self, tx: &DatabaseTransaction, now: Timestamp) -> Result<Option<FirstAnswer>, Error> {
        let values = [
            Uuid::now_v7().into(),
            self.user.0.into(),
            self.key.as_str().into(),
            self.hash.as_slice().into(),
            Uuid::nil().into(),
            now.as_millis().into(),
            oldest(now).into(),
        ];
        let reserved =
            tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), RESERVE, values)).await?;
        if reserved.rows_affected() > 0 {
            return Ok(None);
        }
        // The row is locked by now, so it is there.
        self.find(tx, now).await?.map(Some).ok_or(Error::NotFound)
    }

    /// Stores the answer for repeated requests.
    pub(crate) async fn store(&self, tx: &DatabaseTransaction, answer: &FirstAnswer) -> Result<(), Error> {
        row::Entity::update_many()
            .col_expr(row::Column::MadeId, Expr::value(answer.id))
            .col_expr(row::Column::Version, Expr::value(answer.version))
            .col_expr(row::Column::Body, Expr::value(answer.body.as_str()))
            .filter(self.is_key())
            .exec(tx)
            .await?;
        Ok(())
    }

    pub(crate) async fn find(
        &self,
        connection: &impl ConnectionTrait,
        now: Timestamp,
    ) -> Result<Option<FirstAnswer>, Error> {
        let live = self.is_key().and(row::Column::CreatedAt.gte(oldest(now)));
        match row::Entity::find().filter(live).one(connection).await? {
            Some(row) if row.request_hash != self.hash => Err(Error::KeyReused),
            row => Ok(row.map(|row| FirstAnswer { id: row.made_id, version: row.version, body: row.body })),
        }
    }

    fn is_key(&self) -> Expr {
        row::Column::UserId.eq(self.user.0).and(row::Column::Key.eq(self.key.as_str()))
    }
}

/// When the oldest keys were made that are remembered, in ms.
fn oldest(now: Timestamp) -> i64 {
    now.minus(LIFE).as_millis()
}
