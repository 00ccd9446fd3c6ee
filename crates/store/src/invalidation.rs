//! What a commit makes wrong in the cache: reported before and after it, and kept in the outbox until the cache has processed it.
//!
//! A method that changes something cached ends with [`Db::commit`](crate::db::Db::commit) in place of `tx.commit()`, and
//! names its changes there; [`Change`](examhall_core::Change) knows which keys they make wrong:
//!
//! ```text
//!   let tx = self.db.begin().await?;
//!   ...                                                    statements
//!   self.db.commit(tx, &[Change::Profile(id)], now).await  outbox row, hook.before, COMMIT, hook.after, row cleared
//! ```
//! The route that calls it has nothing to do: when the method returns, the cache has let go of the old values, or the
//! outbox holds a row that some process will take to it.

use std::time::Duration;

use examhall_core::{Change, Timestamp};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use crate::{Error, db::Db, entity::cache_outbox};

/// The cache outbox.
#[derive(Clone, Debug)]
pub struct Invalidations {
    db: Db,
}

/// A commit whose keys may still be wrong in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invalidation {
    /// Names the commit.
    pub commit: Uuid,
    /// Cache keys without `CACHE_PREFIX`.
    pub keys: Vec<String>,
}

impl Invalidations {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Commits older than `age` that the cache has not processed, oldest first: their process has died, or Redis is
    /// away.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn overdue(&self, age: Duration, limit: u64, now: Timestamp) -> Result<Vec<Invalidation>, Error> {
        use cache_outbox::Column;
        let overdue = Column::ClearedAt.is_null().and(Column::CreatedAt.lte(now.minus(age).as_millis()));
        let rows = cache_outbox::Entity::find().filter(overdue).order_by_asc(Column::CreatedAt).limit(limit);
        Ok(rows.all(&self.db.read).await?.into_iter().map(to_invalidation).collect())
    }

    /// The keys of all commits of the last `age`, processed or not: for a Redis that may have forgotten.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn recent_keys(&self, age: Duration, now: Timestamp) -> Result<Vec<String>, Error> {
        let recent = cache_outbox::Column::CreatedAt.gte(now.minus(age).as_millis());
        let rows = cache_outbox::Entity::find().filter(recent).all(&self.db.read).await?;
        Ok(rows.into_iter().flat_map(|row| to_invalidation(row).keys).collect())
    }

    /// Notes that the cache has processed these commits.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn mark_cleared(&self, commits: &[Uuid], now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                cache_outbox::Entity::update_many()
                    .col_expr(cache_outbox::Column::ClearedAt, Expr::value(now.as_millis()))
                    .filter(cache_outbox::Column::Id.is_in(commits.iter().copied()))
                    .exec(&tx)
                    .await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Forgets commits older than `age` that the cache has processed.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn prune(&self, age: Duration, now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let old = cache_outbox::Column::CreatedAt.lt(now.minus(age).as_millis());
                let tx = self.db.begin().await?;
                cache_outbox::Entity::delete_many()
                    .filter(old.and(cache_outbox::Column::ClearedAt.is_not_null()))
                    .exec(&tx)
                    .await?;
                Ok(tx.commit().await?)
            })
            .await
    }
}

impl Db {
    /// Commits a transaction that changes something cached, and notifies the cache before and after it.
    ///
    /// Nothing that happens to the caller splits the two: from here on the work is a task of its own.
    pub(crate) async fn commit(
        &self,
        tx: DatabaseTransaction,
        changes: &[Change],
        now: Timestamp,
    ) -> Result<(), Error> {
        let (commit, keys) = (Uuid::now_v7(), Change::stale_keys(changes));
        insert(&tx, commit, &keys, now).await?;
        let db = self.clone();
        let whole = tokio::spawn(async move {
            let Some(hook) = db.hook.get() else { return Ok(tx.commit().await?) };
            hook.before(commit, &keys).await;
            // Whether a commit that failed has happened is not known: the cache lets go in either case.
            let committed = tx.commit().await;
            let delivered = hook.after(commit, &keys).await;
            committed?;
            if delivered {
                tokio::spawn(note_cleared(Invalidations::new(db.clone()), commit, now));
            }
            Ok(())
        });
        whole.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

/// Without this note the row is taken to the cache again, which does no harm.
async fn note_cleared(invalidations: Invalidations, commit: Uuid, now: Timestamp) {
    if let Err(error) = invalidations.mark_cleared(&[commit], now).await {
        tracing::debug!(%commit, %error, "a cache outbox row stays uncleared");
    }
}

async fn insert(tx: &DatabaseTransaction, commit: Uuid, keys: &[String], now: Timestamp) -> Result<(), Error> {
    let row = cache_outbox::ActiveModel {
        id: Set(commit),
        keys: Set(keys.into()),
        created_at: Set(now.as_millis()),
        cleared_at: Set(None),
    };
    cache_outbox::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

fn to_invalidation(row: cache_outbox::Model) -> Invalidation {
    Invalidation { commit: row.id, keys: serde_json::from_value(row.keys).unwrap_or_default() }
}
