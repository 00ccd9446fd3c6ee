//! Tokens that mails carry: made with the mail, used up once.

use std::time::Duration;

use examhall_core::{AccountName, Change, EmailAddress, Timestamp, UserId};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, Func, LockType},
};

use crate::{
    Account, Accounts, Error, NewMail, NewMailToken, TokenPurpose,
    accounts::{best, is_named, to_account},
    entity::{mail_token, user},
    outbox,
    sessions::{lock_user, revoke_all},
};

/// Asked again sooner than that, a mail is not sent again.
const PAUSE: Duration = Duration::from_mins(1);

impl Accounts {
    /// Mails a new token to the account of this name, unless it was mailed one of the kind within the last minute.
    /// Returns whether there is a mail: an address without an account gets none, nor does one for verification that is
    /// verified.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn mail_token(
        &self,
        name: impl Into<AccountName> + Send,
        token: &NewMailToken,
        mail: impl Fn(&Account) -> NewMail + Send + Sync,
        now: Timestamp,
    ) -> Result<bool, Error> {
        let name = name.into();
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let found = user::Entity::find().filter(is_named(&name)).lock(LockType::Update).all(&tx).await?;
                let Some(account) = best(&name, found).map(to_account).transpose()? else { return Ok(false) };
                if token.purpose == TokenPurpose::Verification && account.verified {
                    return Ok(false);
                }
                let since = now.as_millis() - i64::try_from(PAUSE.as_millis()).unwrap_or(0);
                let recent = mail_token::Column::UserId
                    .eq(account.id.0)
                    .and(mail_token::Column::Purpose.eq(token.purpose.as_str()))
                    .and(mail_token::Column::CreatedAt.gt(since));
                if mail_token::Entity::find().filter(recent).count(&tx).await? > 0 {
                    return Ok(false);
                }
                insert(&tx, account.id, token, now).await?;
                outbox::insert(&tx, &mail(&account), now).await?;
                tx.commit().await?;
                Ok(true)
            })
            .await
    }

    /// Keeps a token for an account without a mail.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn add_token(&self, user: UserId, token: &NewMailToken, now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                insert(&tx, user, token, now).await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Uses up a verification token and marks its account's address as proven. `false` where the token is unknown,
    /// used or expired.
    ///
    /// With a `password_hash` that becomes the account's password: a client that has the token has the mail, and the one that chose the
    /// password when signing up may be somebody else.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn verify(
        &self,
        token_hash: &[u8; 32],
        password_hash: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                lock_owner(&tx, token_hash).await?;
                let Some(user) = use_up(&tx, token_hash, TokenPurpose::Verification, now).await? else {
                    return Ok(false);
                };
                let mut change = user::Entity::update_many();
                if let Some(password_hash) = password_hash {
                    // A mail for a new password may have been requested by the one that signed up.
                    void(&tx, user, &[TokenPurpose::Verification, TokenPurpose::Reset], now).await?;
                    revoke_all(&tx, user, now).await?;
                    change = change.col_expr(user::Column::PasswordHash, Expr::value(password_hash));
                } else {
                    void(&tx, user, &[TokenPurpose::Verification], now).await?;
                }
                change
                    .col_expr(user::Column::VerifiedAt, Expr::value(now.as_millis()))
                    .col_expr(user::Column::UpdatedAt, Expr::value(now.as_millis()))
                    .col_expr(user::Column::Version, Expr::col(user::Column::Version).add(1))
                    .filter(user::Column::Id.eq(user.0))
                    .exec(&tx)
                    .await?;
                self.db.commit(tx, &[Change::Profile(user)], now).await?;
                Ok(true)
            })
            .await
    }

    /// Whether a verification token can be used now, and its account has more than one sign-up: then the one that
    /// confirms the address is to say which password counts.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn is_contested(&self, token_hash: &[u8; 32], now: Timestamp) -> Result<bool, Error> {
        let of_token = mail_token::Entity::find().filter(is_good(token_hash, TokenPurpose::Verification, now));
        let owner = of_token.select_only().column(mail_token::Column::UserId).into_query();
        let contested = user::Column::Id.in_subquery(owner).and(user::Column::SignUps.gt(1));
        Ok(user::Entity::find().filter(contested).count(&self.db.read).await? > 0)
    }

    /// Whether a token can be used now. It may be used up at any time by somebody else.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn is_good(&self, token_hash: &[u8; 32], purpose: TokenPurpose, now: Timestamp) -> Result<bool, Error> {
        let found = mail_token::Entity::find().filter(is_good(token_hash, purpose, now));
        Ok(found.count(&self.db.read).await? > 0)
    }

    /// Uses up a reset token: sets the password, ends all sessions, makes every other token useless, and commits the
    /// mail that says so. A client that has the token has the mail, so the address is proven too. `None` where the token
    /// is unknown, used or expired.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn reset_password(
        &self,
        token_hash: &[u8; 32],
        password_hash: &str,
        mail: impl Fn(&Account) -> NewMail + Send + Sync,
        now: Timestamp,
    ) -> Result<Option<UserId>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                lock_owner(&tx, token_hash).await?;
                let Some(id) = use_up(&tx, token_hash, TokenPurpose::Reset, now).await? else { return Ok(None) };
                let verified_at = Func::coalesce([Expr::col(user::Column::VerifiedAt), Expr::value(now.as_millis())]);
                let changed = user::Entity::update_many()
                    .col_expr(user::Column::PasswordHash, Expr::value(password_hash))
                    .col_expr(user::Column::VerifiedAt, verified_at.into())
                    .col_expr(user::Column::UpdatedAt, Expr::value(now.as_millis()))
                    .col_expr(user::Column::Version, Expr::col(user::Column::Version).add(1))
                    .filter(user::Column::Id.eq(id.0))
                    .exec_with_returning(&tx)
                    .await?;
                let account = to_account(changed.into_iter().next().ok_or(Error::NotFound)?)?;
                revoke_all(&tx, id, now).await?;
                void(&tx, id, &[TokenPurpose::Verification, TokenPurpose::Reset], now).await?;
                outbox::insert(&tx, &mail(&account), now).await?;
                self.db.commit(tx, &[Change::Profile(id)], now).await?;
                Ok(Some(id))
            })
            .await
    }
}

pub(crate) async fn insert(
    tx: &DatabaseTransaction,
    user: UserId,
    token: &NewMailToken,
    now: Timestamp,
) -> Result<(), Error> {
    insert_about(tx, user, token, None, now).await
}

/// Keeps a token that is about an address.
pub(crate) async fn insert_about(
    tx: &DatabaseTransaction,
    user: UserId,
    token: &NewMailToken,
    address: Option<&EmailAddress>,
    now: Timestamp,
) -> Result<(), Error> {
    let row = mail_token::ActiveModel {
        hash: Set(token.hash.to_vec()),
        user_id: Set(user.0),
        purpose: Set(token.purpose.as_str().to_owned()),
        created_at: Set(now.as_millis()),
        expires_at: Set(token.expires_at.as_millis()),
        used_at: Set(None),
        address: Set(address.map(|address| address.as_str().to_owned())),
    };
    mail_token::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

/// Locks the account before its token, as every transaction does that locks both. Two resets with two tokens of one
/// account would deadlock otherwise: each makes the other's token useless.
pub(crate) async fn lock_owner(tx: &DatabaseTransaction, token_hash: &[u8; 32]) -> Result<(), Error> {
    let of_token = mail_token::Entity::find().filter(mail_token::Column::Hash.eq(token_hash.to_vec()));
    let owner = of_token.select_only().column(mail_token::Column::UserId).into_query();
    lock_user(tx, user::Column::Id.in_subquery(owner)).await?;
    Ok(())
}

/// Makes all tokens useless that an account was mailed for one of `purposes`. The account must be locked.
pub(crate) async fn void(
    tx: &DatabaseTransaction,
    user: UserId,
    purposes: &[TokenPurpose],
    now: Timestamp,
) -> Result<(), Error> {
    let unused = mail_token::Column::UserId
        .eq(user.0)
        .and(mail_token::Column::Purpose.is_in(purposes.iter().map(|purpose| purpose.as_str())))
        .and(mail_token::Column::UsedAt.is_null());
    mail_token::Entity::update_many()
        .col_expr(mail_token::Column::UsedAt, Expr::value(now.as_millis()))
        .filter(unused)
        .exec(tx)
        .await?;
    Ok(())
}

/// Whose token it was, if it was good. The account must be locked.
pub(crate) async fn use_up(
    tx: &DatabaseTransaction,
    hash: &[u8; 32],
    purpose: TokenPurpose,
    now: Timestamp,
) -> Result<Option<UserId>, Error> {
    let used = mail_token::Entity::update_many()
        .col_expr(mail_token::Column::UsedAt, Expr::value(now.as_millis()))
        .filter(is_good(hash, purpose, now))
        .exec_with_returning(tx)
        .await?;
    Ok(used.into_iter().next().map(|token| UserId(token.user_id)))
}

fn is_good(hash: &[u8; 32], purpose: TokenPurpose, now: Timestamp) -> Expr {
    mail_token::Column::Hash
        .eq(hash.to_vec())
        .and(mail_token::Column::Purpose.eq(purpose.as_str()))
        .and(mail_token::Column::UsedAt.is_null())
        .and(mail_token::Column::ExpiresAt.gt(now.as_millis()))
}
