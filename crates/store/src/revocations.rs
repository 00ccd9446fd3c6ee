//! Revocations of access tokens: what a trigger on the accounts has noted.

use std::time::Duration;

use examhall_core::UserId;
use sea_orm::{ConnectionTrait, DbBackend, Statement};
use uuid::Uuid;

use crate::{Error, Store};

/// From when on an account's access tokens are good: those of earlier generations are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// Whose tokens are meant: those of an account, or of a session that was ended.
    pub user: UserId,
    /// The first generation that is good; `i64::MAX` where the account is deleted, or a session was ended.
    pub min_generation: i64,
    /// When it was noted, in ms since 1970, by the database's clock.
    pub at: i64,
}

impl Store {
    /// Returns what was revoked within the last `window`, by the database's clock. Nearly always nothing, so it is asked
    /// often; it does not wait for a connection behind others.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn revocations(&self, window: Duration) -> Result<Vec<Revocation>, Error> {
        let window = i64::try_from(window.as_millis()).unwrap_or(i64::MAX);
        let backend = self.probe.get_database_backend();
        let since = since(backend);
        let sql = format!("SELECT user_id, min_generation, at FROM access_revocations WHERE at > {since}");
        let rows = self.probe.query_all_raw(Statement::from_sql_and_values(backend, sql, [window.into()])).await?;
        let read = rows.iter().map(|row| {
            Ok(Revocation {
                user: UserId(row.try_get::<Uuid>("", "user_id")?),
                min_generation: row.try_get("", "min_generation")?,
                at: row.try_get("", "at")?,
            })
        });
        read.collect()
    }

    /// Deletes revocations that are older than `age`.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn prune_revocations(&self, age: Duration) -> Result<u64, Error> {
        let age = i64::try_from(age.as_millis()).unwrap_or(i64::MAX);
        let backend = self.probe.get_database_backend();
        let sql = format!("DELETE FROM access_revocations WHERE at <= {}", since(backend));
        let tx = self.db.begin().await?;
        let deleted = tx.execute_raw(Statement::from_sql_and_values(backend, sql, [age.into()])).await?;
        tx.commit().await?;
        Ok(deleted.rows_affected())
    }
}

/// SQL of the moment that is the first parameter, in ms, ago.
fn since(backend: DbBackend) -> &'static str {
    match backend {
        DbBackend::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) - $1",
        _ => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER) - ?",
    }
}
