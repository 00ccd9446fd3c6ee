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

use std::{fmt, time::Duration};

use examhall_core::Timestamp;
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::Expr,
};
use uuid::Uuid;

use crate::{Error, db::Db, entity::cache_outbox};

/// Receiver of commits: the cache, behind a name that knows no Redis.
#[async_trait::async_trait]
pub trait CommitHook: fmt::Debug + Send + Sync {
    /// The values of `keys` are about to become wrong: from now on nothing that was read before may be kept.
    async fn before(&self, commit: Uuid, keys: &[String]);

    /// It is decided whether they have. `true` where the cache has let go of the old values.
    async fn after(&self, commit: Uuid, keys: &[String]) -> bool;
}

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
        self.db.retry(|| self.mark_cleared_once(commits, now)).await
    }

    async fn mark_cleared_once(&self, commits: &[Uuid], now: Timestamp) -> Result<(), Error> {
        let tx = self.db.begin().await?;
        cache_outbox::Entity::update_many()
            .col_expr(cache_outbox::Column::ClearedAt, Expr::value(now.as_millis()))
            .filter(cache_outbox::Column::Id.is_in(commits.iter().copied()))
            .exec(&tx)
            .await?;
        Ok(tx.commit().await?)
    }

    /// Forgets commits older than `age` that the cache has processed.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn prune(&self, age: Duration, now: Timestamp) -> Result<(), Error> {
        self.db.retry(|| self.prune_once(age, now)).await
    }

    async fn prune_once(&self, age: Duration, now: Timestamp) -> Result<(), Error> {
        let old = cache_outbox::Column::CreatedAt.lt(now.minus(age).as_millis());
        let tx = self.db.begin().await?;
        cache_outbox::Entity::delete_many()
            .filter(old.and(cache_outbox::Column::ClearedAt.is_not_null()))
            .exec(&tx)
            .await?;
        Ok(tx.commit().await?)
    }
}

pub(crate) async fn insert(
    tx: &DatabaseTransaction,
    commit: Uuid,
    keys: &[String],
    now: Timestamp,
) -> Result<(), Error> {
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
