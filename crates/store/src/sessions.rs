//! Sessions: a family of refresh tokens that begins with a login (refresh token rotation, RFC 9700, section 4.14.2).
//!
//! Each token is used once. Within a grace period a rotated token gets another successor, a sibling of the first one;
//! used later than that, it was copied, and its whole family ends.

use std::time::Duration;

use examhall_core::{Timestamp, UserId};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use crate::{
    Account, Accounts, Error,
    accounts::to_account,
    entity::{session, user},
};

/// How long after its rotation a refresh token gets another successor: for tabs that refresh at once, and answers that
/// were lost. Also how far the clocks of two processes may differ.
const GRACE: Duration = Duration::from_secs(30);
/// Successors that a refresh token gets at most, alongside the first.
const MAX_REUSES: i32 = 32;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SessionKind {
    /// The API: a family of refresh tokens.
    Api,
    /// The console: one token, in a cookie.
    Console,
}

/// A session that a login begins.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// What it is named by.
    pub id: Uuid,
    /// Whose it is.
    pub user: UserId,
    /// PHC string of the password that was found right.
    pub password_hash: String,
    /// SHA-256 of the refresh token.
    pub token_hash: [u8; 32],
    /// Until when it can be refreshed.
    pub expires_at: Timestamp,
    /// The network that it was begun from, as the caller writes networks.
    pub network: String,
    /// What it is for.
    pub kind: SessionKind,
}

/// A session that goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Whose it is.
    pub account: Account,
    /// What it is named by.
    pub session: Uuid,
}

/// What takes the place of a refresh token that is used.
#[derive(Clone, Copy, Debug)]
pub struct NextSession {
    /// SHA-256 of the new refresh token.
    pub token_hash: [u8; 32],
    /// Until when it can be used.
    pub expires_at: Timestamp,
}

impl Accounts {
    /// Begins a session; `false` where the account's password is not the one of `new` any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn begin_session(&self, new: &NewSession, now: Timestamp) -> Result<bool, Error> {
        self.db
            .retry(|| async {
                let next = NextSession { token_hash: new.token_hash, expires_at: new.expires_at };
                let owner =
                    user::Column::Id.eq(new.user.0).and(user::Column::PasswordHash.eq(new.password_hash.as_str()));
                let tx = self.db.begin().await?;
                let Some(owner) = lock_user(&tx, owner).await? else { return Ok(false) };
                let generation = (new.kind == SessionKind::Console).then_some(owner.access_generation);
                let row = Row {
                    id: new.id,
                    family: new.id,
                    network: Some(new.network.clone()),
                    console_generation: generation,
                };
                insert(&tx, row, new.user, next, now).await?;
                tx.commit().await?;
                Ok(true)
            })
            .await
    }

    /// Uses a refresh token and puts the next one in its place. `None` where it is unknown, expired or revoked; and
    /// where it was rotated longer ago than the grace period, or used too often within it: then somebody has a copy,
    /// and the whole family ends.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn rotate_session(
        &self,
        token_hash: &[u8; 32],
        next: NextSession,
        now: Timestamp,
    ) -> Result<Option<Renewed>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let Some((owner, row)) = find(&tx, token_hash).await? else { return Ok(None) };
                // That of the console is no refresh token.
                if row.console_generation.is_some() || row.revoked_at.is_some() || row.expires_at <= now.as_millis() {
                    return Ok(None);
                }
                let this = session::Entity::update_many().filter(session::Column::Id.eq(row.id));
                match row.rotated_at {
                    None => this.col_expr(session::Column::RotatedAt, Expr::value(now.as_millis())).exec(&tx).await?,
                    Some(at) if is_within_grace(at, now) && row.reuses < MAX_REUSES => {
                        this.col_expr(session::Column::Reuses, Expr::value(row.reuses + 1)).exec(&tx).await?
                    }
                    Some(_) => {
                        revoke_family(&tx, row.family, now).await?;
                        tx.commit().await?;
                        tracing::warn!(user_id = %row.user_id, "A refresh token was used twice: its sessions are ended");
                        return Ok(None);
                    }
                };
                let account = to_account(owner)?; // what is committed can be answered
                let successor =
                    Row { id: Uuid::now_v7(), family: row.family, network: row.network, console_generation: None };
                insert(&tx, successor, UserId(row.user_id), next, now).await?;
                tx.commit().await?;
                Ok(Some(Renewed { account, session: row.family }))
            })
            .await
    }

    /// Whether somebody has logged in to an account from a network, in a session that is not over, or was ended before its
    /// time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has_logged_in_from(&self, user: UserId, network: &str, now: Timestamp) -> Result<bool, Error> {
        let theirs = session::Column::UserId
            .eq(user.0)
            .and(session::Column::Network.eq(network))
            .and(session::Column::ExpiresAt.gt(now.as_millis()));
        Ok(session::Entity::find().filter(theirs).limit(1).count(&self.db.read).await? > 0)
    }

    /// Ends the session of a refresh token, with all that came of the same login.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn end_session(&self, token_hash: &[u8; 32], now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                if let Some((_, row)) = find(&tx, token_hash).await? {
                    revoke_family(&tx, row.family, now).await?;
                }
                Ok(tx.commit().await?)
            })
            .await
    }
}

/// Another process, whose clock is ahead, may have rotated the token: then that was "after" `now`.
fn is_within_grace(rotated_at: i64, now: Timestamp) -> bool {
    u128::from(now.as_millis().abs_diff(rotated_at)) < GRACE.as_millis()
}

/// A session and its owner.
async fn find(tx: &DatabaseTransaction, token_hash: &[u8; 32]) -> Result<Option<(user::Model, session::Model)>, Error> {
    let found = || session::Entity::find().filter(session::Column::TokenHash.eq(token_hash.to_vec()));
    let owner = found().select_only().column(session::Column::UserId).into_query();
    let Some(owner) = lock_user(tx, user::Column::Id.in_subquery(owner)).await? else { return Ok(None) };
    Ok(found().one(tx).await?.map(|session| (owner, session)))
}

/// The account, whose sessions nobody else begins, rotates or ends until `tx` is over. Without it, who ends all of them
/// would not see one that is just being made.
pub(crate) async fn lock_user(tx: &DatabaseTransaction, which: Expr) -> Result<Option<user::Model>, Error> {
    Ok(user::Entity::find().filter(which).lock(LockType::NoKeyUpdate).one(tx).await?)
}

/// Ends all sessions of an account.
pub(crate) async fn revoke_all(tx: &DatabaseTransaction, user: UserId, now: Timestamp) -> Result<(), Error> {
    session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(now.as_millis()))
        .filter(session::Column::UserId.eq(user.0).and(session::Column::RevokedAt.is_null()))
        .exec(tx)
        .await?;
    Ok(())
}

pub(crate) async fn revoke_family(tx: &DatabaseTransaction, family: Uuid, now: Timestamp) -> Result<(), Error> {
    session::Entity::update_many()
        .col_expr(session::Column::RevokedAt, Expr::value(now.as_millis()))
        .filter(session::Column::Family.eq(family).and(session::Column::RevokedAt.is_null()))
        .exec(tx)
        .await?;
    Ok(())
}

/// A session's place among others.
struct Row {
    id: Uuid,
    family: Uuid,
    network: Option<String>,
    console_generation: Option<i64>,
}

async fn insert(
    tx: &DatabaseTransaction,
    new: Row,
    user: UserId,
    next: NextSession,
    now: Timestamp,
) -> Result<(), Error> {
    let row = session::ActiveModel {
        id: Set(new.id),
        family: Set(new.family),
        user_id: Set(user.0),
        token_hash: Set(next.token_hash.to_vec()),
        created_at: Set(now.as_millis()),
        expires_at: Set(next.expires_at.as_millis()),
        rotated_at: Set(None),
        revoked_at: Set(None),
        reuses: Set(0),
        network: Set(new.network),
        console_generation: Set(new.console_generation),
    };
    session::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}
