//! Deletion of tokens, sessions and idempotency keys that are of no use any more, in batches: no transaction is long, and none waits for
//! another.

use std::time::Duration;

use examhall_core::Timestamp;
use sea_orm::{
    ColumnTrait, ConnectionTrait, DbBackend, EntityTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, LockBehavior, LockType},
};

use crate::{
    Accounts, Error,
    entity::{idempotency_key, invitation, mail_token, session},
    idempotency,
};

/// Rows deleted in one transaction.
const BATCH: u64 = 1000;
/// How long expired rows are kept.
const KEEP_EXPIRED: Duration = Duration::from_hours(24);
/// How long rotated sessions are kept: a copied refresh token that is used within this time ends its family.
const KEEP_ROTATED: Duration = Duration::from_hours(7 * 24);

impl Accounts {
    /// Deletes tokens, those of invitations too, and sessions that expired a day ago, sessions that were rotated 7 days ago, and idempotency keys that
    /// are older than 24 h; returns how many.
    /// Each batch is a transaction of its own, so an error leaves the rest to the next call.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn prune(&self, now: Timestamp) -> Result<u64, Error> {
        let expired = now.minus(KEEP_EXPIRED).as_millis();
        let rotated = session::Column::RotatedAt.lt(now.minus(KEEP_ROTATED).as_millis());
        let (token, session) = (mail_token::Column::Hash, session::Column::Id);
        let tokens = self.delete_all::<mail_token::Entity>(token, mail_token::Column::ExpiresAt.lt(expired)).await?;
        let (hash, is_old) = (invitation::Column::Hash, invitation::Column::ExpiresAt.lt(expired));
        let invitations = self.delete_all::<invitation::Entity>(hash, is_old).await?;
        let sessions = self.delete_all::<session::Entity>(session, session::Column::ExpiresAt.lt(expired)).await?;
        let rotated = self.delete_all::<session::Entity>(session, rotated).await?;
        let old = idempotency_key::Column::CreatedAt.lt(now.minus(idempotency::LIFE).as_millis());
        let keys = self.delete_all::<idempotency_key::Entity>(idempotency_key::Column::Id, old).await?;
        Ok(tokens + invitations + sessions + rotated + keys)
    }

    async fn delete_all<E: EntityTrait>(&self, key: E::Column, is_old: Expr) -> Result<u64, Error> {
        let mut deleted = 0;
        loop {
            let batch = self.db.retry(|| self.delete_batch::<E>(key, is_old.clone())).await?;
            deleted += batch;
            if batch < BATCH {
                return Ok(deleted);
            }
        }
    }

    /// Rows that another transaction has locked are left to the next call.
    async fn delete_batch<E: EntityTrait>(&self, key: E::Column, is_old: Expr) -> Result<u64, Error> {
        let tx = self.db.begin().await?;
        let old = E::find().filter(is_old).limit(BATCH);
        let old = match tx.get_database_backend() {
            DbBackend::Postgres => old.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked),
            _ => old,
        };
        let old = old.select_only().column(key).into_query();
        let deleted = E::delete_many().filter(key.in_subquery(old)).exec(&tx).await?;
        tx.commit().await?;
        Ok(deleted.rows_affected)
    }
}
