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
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, ExprTrait,
    QueryFilter, QueryOrder, QuerySelect, Statement, sea_query::Expr,
};
use uuid::Uuid;

use crate::{CommitOutcome, Error, db::Db, entity::cache_outbox, pool::Reader};

/// The cache outbox.
#[derive(Clone, Debug)]
pub struct Invalidations {
    db: Db,
    probe: Reader,
}

/// A commit of any process, with its place in the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JournalRow {
    /// Its number: a later row has a higher one.
    pub seq: i64,
    /// Identifies the commit.
    pub commit: Uuid,
    /// Cache keys without `CACHE_PREFIX`.
    pub keys: Vec<String>,
    /// How long ago it was added, by the database's clock.
    pub age: Duration,
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
    pub(crate) fn new(db: Db, probe: Reader) -> Self {
        Self { db, probe }
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

    /// Returns up to `limit` commits after `seq` in the order in which they were added, processed or not: the journal that
    /// every process follows. It does not wait for a connection behind others.
    ///
    /// A commit may become visible after a later one, if it was in flight for longer: read those of the last seconds again.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn since(&self, seq: i64, limit: u64) -> Result<Vec<JournalRow>, Error> {
        let backend = self.probe.get_database_backend();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let statement = Statement::from_sql_and_values(backend, since(backend), [seq.into(), limit.into()]);
        let rows = self.probe.query_all_raw(statement).await?;
        let read = rows.iter().map(|row| {
            let age = row.try_get::<i64>("", "age")?;
            Ok(JournalRow {
                seq: row.try_get("", "seq")?,
                commit: row.try_get("", "id")?,
                keys: to_keys(row.try_get("", "keys")?),
                age: Duration::from_millis(age.try_into().unwrap_or(0)),
            })
        });
        read.collect()
    }

    /// Notes that the cache has processed these commits.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn mark_cleared(&self, commits: &[Uuid], now: Timestamp) -> Result<(), Error> {
        self.db.mark_cleared(commits, now).await
    }

    /// Deletes commits older than `age` that the cache has processed.
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
    async fn mark_cleared(&self, commits: &[Uuid], now: Timestamp) -> Result<(), Error> {
        self.retry(|| async {
            let tx = self.begin().await?;
            cache_outbox::Entity::update_many()
                .col_expr(cache_outbox::Column::ClearedAt, Expr::value(now.as_millis()))
                .filter(cache_outbox::Column::Id.is_in(commits.iter().copied()))
                .exec(&tx)
                .await?;
            Ok(tx.commit().await?)
        })
        .await
    }

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
            let committed = tx.commit().await;
            // A commit that failed may have happened, or may still happen.
            let outcome = if committed.is_ok() { CommitOutcome::Committed } else { CommitOutcome::Unknown };
            let delivered = hook.after(commit, &keys, outcome).await;
            committed?;
            if delivered {
                tokio::spawn(note_cleared(db.clone(), commit, now));
            }
            Ok(())
        });
        whole.await.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()))
    }
}

/// Without this note the row is taken to the cache again, which does no harm.
async fn note_cleared(db: Db, commit: Uuid, now: Timestamp) {
    if let Err(error) = db.mark_cleared(&[commit], now).await {
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
    Invalidation { commit: row.id, keys: to_keys(row.keys) }
}

fn to_keys(keys: serde_json::Value) -> Vec<String> {
    serde_json::from_value(keys).unwrap_or_default()
}

/// SQL of the rows after the first parameter, at most as many as the second one. Their age is that at the beginning of the
/// statement, so a row that it does not show is younger than those that it shows, or was in flight for longer.
fn since(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => {
            "SELECT seq, id, keys, CAST(extract(epoch FROM statement_timestamp()) * 1000 AS BIGINT) - added_at AS age \
             FROM cache_outbox WHERE seq > $1 ORDER BY seq LIMIT $2"
        }
        _ => {
            "SELECT seq, id, keys, CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) - added_at AS age \
             FROM cache_outbox WHERE seq > ? ORDER BY seq LIMIT ?"
        }
    }
}
