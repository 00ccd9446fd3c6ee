//! Sessions of the console: a token in a cookie that is not rotated. Each use asks for the account as it is now, so a
//! session ends at once with whatever ends the account's access tokens.

use examhall_core::Timestamp;
use sea_orm::{ColumnTrait, EntityTrait, ExprTrait, QueryFilter, sea_query::Expr};

use crate::{
    Account, Accounts, Error, TokenPurpose,
    accounts::to_account,
    entity::{session, user},
    mail_tokens::{lock_owner, use_up},
};

/// A session of the console that is not over.
#[derive(Clone, Debug)]
pub struct ConsoleSession {
    /// Whose it is, as the account is now.
    pub account: Account,
    /// When it was begun.
    pub began_at: Timestamp,
    /// When it ends if nobody uses it.
    pub expires_at: Timestamp,
}

impl Accounts {
    /// The session of a token. `None` where it is unknown, over or revoked, and where the account's password or role was
    /// changed since it began, or its address is not proven any more.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn console_session(
        &self,
        token_hash: &[u8; 32],
        now: Timestamp,
    ) -> Result<Option<ConsoleSession>, Error> {
        let good = of_token(token_hash).and(session::Column::ExpiresAt.gt(now.as_millis()));
        let Some(row) = session::Entity::find().filter(good).one(&self.db.read).await? else { return Ok(None) };
        let Some(owner) = user::Entity::find_by_id(row.user_id).one(&self.db.read).await? else { return Ok(None) };
        if owner.verified_at.is_none()
            || owner.locked_at.is_some()
            || row.console_generation != Some(owner.access_generation)
        {
            return Ok(None);
        }
        Ok(Some(ConsoleSession {
            account: to_account(owner)?,
            began_at: Timestamp::from_millis(row.created_at),
            expires_at: Timestamp::from_millis(row.expires_at),
        }))
    }

    /// Lets a session go on until `expires_at`, unless it is revoked.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn extend_console_session(&self, token_hash: &[u8; 32], expires_at: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                session::Entity::update_many()
                    .col_expr(session::Column::ExpiresAt, Expr::value(expires_at.as_millis()))
                    .filter(of_token(token_hash))
                    .exec(&tx)
                    .await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Uses up the token of a login link; returns whose it was, if it was good.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn use_console_link(&self, token_hash: &[u8; 32], now: Timestamp) -> Result<Option<Account>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                lock_owner(&tx, token_hash).await?;
                let used = use_up(&tx, token_hash, TokenPurpose::Console, now).await?;
                let Some(id) = used else { return Ok(None) };
                let owner = user::Entity::find_by_id(id.0).one(&tx).await?;
                tx.commit().await?;
                owner.map(to_account).transpose()
            })
            .await
    }
}

fn of_token(token_hash: &[u8; 32]) -> Expr {
    let console =
        session::Column::TokenHash.eq(token_hash.to_vec()).and(session::Column::ConsoleGeneration.is_not_null());
    console.and(session::Column::RevokedAt.is_null())
}
