//! The sessions of an account as its owner sees them: where they were begun, and an end to each.

use std::collections::BTreeMap;

use examhall_core::{Timestamp, UserId};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, ExprTrait, QueryFilter, QueryOrder,
    QuerySelect, Statement,
};
use uuid::Uuid;

use crate::{
    Accounts, Error, SessionKind,
    entity::{session, user},
    sessions::{lock_user, revoke_family},
};

/// Sessions that are shown at most: the newest ones.
const MOST_SHOWN: usize = 100;

/// A session that is not over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSession {
    /// What it is named by.
    pub id: Uuid,
    /// What it is for.
    pub kind: SessionKind,
    /// When it was begun.
    pub began_at: Timestamp,
    /// When its tokens were last renewed.
    pub renewed_at: Timestamp,
    /// When it ends if nobody uses it.
    pub expires_at: Timestamp,
    /// The network that it was begun from.
    pub network: Option<String>,
}

impl Accounts {
    /// The sessions of an account that are not over, newest first, at most 100.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn sessions(&self, user: UserId, now: Timestamp) -> Result<Vec<LiveSession>, Error> {
        let owner = user::Entity::find_by_id(user.0).one(&self.db.read).await?.ok_or(Error::NotFound)?;
        let good = is_live(user, now);
        let rows =
            session::Entity::find().filter(good).order_by_asc(session::Column::CreatedAt).all(&self.db.read).await?;
        let mut live: BTreeMap<Uuid, LiveSession> = BTreeMap::new();
        for row in rows {
            // What ends access ends sessions of the console without a mark.
            if row.console_generation.is_some_and(|generation| generation != owner.access_generation) {
                continue;
            }
            let (renewed_at, expires_at) =
                (Timestamp::from_millis(row.created_at), Timestamp::from_millis(row.expires_at));
            let kind = if row.console_generation.is_some() { SessionKind::Console } else { SessionKind::Api };
            let found = LiveSession {
                id: row.family,
                kind,
                began_at: began(row.family).unwrap_or(renewed_at),
                renewed_at,
                expires_at,
                network: row.network,
            };
            live.insert(row.family, found); // the last row of a family is the newest
        }
        Ok(live.into_values().rev().take(MOST_SHOWN).collect())
    }

    /// Ends a session of an account, and its access tokens with it.
    ///
    /// # Errors
    /// [`Error::NotFound`] where it has no such session that is not over, [`Error::Unavailable`].
    pub async fn end_session_of(&self, user: UserId, session: Uuid, now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                lock_user(&tx, user::Column::Id.eq(user.0)).await?;
                let mut found = families(&tx, user, now).await?;
                found.retain(|family| *family == session);
                if found.is_empty() {
                    return Err(Error::NotFound);
                }
                end(&tx, &found, now).await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Ends all sessions of an account but `kept`, and their access tokens; returns how many.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_other_sessions(&self, user: UserId, kept: Option<Uuid>, now: Timestamp) -> Result<u64, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                lock_user(&tx, user::Column::Id.eq(user.0)).await?;
                let ended = end_others(&tx, user, kept, now).await?;
                tx.commit().await?;
                Ok(ended)
            })
            .await
    }
}

/// Ends all sessions of an account but `kept`. The account must be locked.
pub(crate) async fn end_others(
    tx: &DatabaseTransaction,
    user: UserId,
    kept: Option<Uuid>,
    now: Timestamp,
) -> Result<u64, Error> {
    let mut others = families(tx, user, now).await?;
    others.retain(|family| Some(*family) != kept);
    end(tx, &others, now).await?;
    Ok(others.len() as u64)
}

async fn families(tx: &DatabaseTransaction, user: UserId, now: Timestamp) -> Result<Vec<Uuid>, Error> {
    let found = session::Entity::find().select_only().column(session::Column::Family).distinct();
    Ok(found.filter(is_live(user, now)).into_tuple().all(tx).await?)
}

async fn end(tx: &DatabaseTransaction, families: &[Uuid], now: Timestamp) -> Result<(), Error> {
    for family in families {
        revoke_family(tx, *family, now).await?;
        refuse_tokens(tx, *family).await?;
    }
    Ok(())
}

/// Notes that access tokens of a session are refused from now on, as a trigger does for those of an account.
async fn refuse_tokens(tx: &DatabaseTransaction, session: Uuid) -> Result<(), Error> {
    let backend = tx.get_database_backend();
    let at = match backend {
        DbBackend::Postgres => "CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT)",
        _ => "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)",
    };
    let sql = format!(
        "INSERT INTO access_revocations (user_id, min_generation, at) VALUES ($1, $2, {at}) \
         ON CONFLICT (user_id) DO UPDATE SET at = excluded.at"
    );
    tx.execute_raw(Statement::from_sql_and_values(backend, sql, [session.into(), i64::MAX.into()])).await?;
    Ok(())
}

fn is_live(user: UserId, now: Timestamp) -> sea_orm::sea_query::Expr {
    session::Column::UserId
        .eq(user.0)
        .and(session::Column::RevokedAt.is_null())
        .and(session::Column::ExpiresAt.gt(now.as_millis()))
}

/// A session is named by its first row, whose id holds the moment (`UUIDv7`); the row itself may be pruned.
fn began(family: Uuid) -> Option<Timestamp> {
    let (seconds, nanos) = family.get_timestamp()?.to_unix();
    let millis = i64::try_from(seconds).ok()?.checked_mul(1000)?;
    Some(Timestamp::from_millis(millis + i64::from(nanos / 1_000_000)))
}
