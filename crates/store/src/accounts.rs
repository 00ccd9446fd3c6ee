//! Users, the tokens in their mails, and their sessions.

use examhall_core::{EmailAddress, Role, Timestamp, UserId};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, ExprTrait, QueryFilter, sea_query::Expr};
use uuid::Uuid;

use crate::{
    Error, NewMail,
    db::Db,
    entity::{mail_token, session, user},
    outbox,
};

/// Users, mail tokens, sessions.
#[derive(Clone, Debug)]
pub struct Accounts {
    db: Db,
}

/// An account as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose it is.
    pub id: UserId,
    /// Where its mail goes.
    pub email: EmailAddress,
    /// The name its owner gave.
    pub name: String,
    /// PHC string of its password.
    pub password_hash: String,
    /// What it may do.
    pub role: Role,
    /// Whether its address is proven to be its owner's.
    pub verified: bool,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Where its mail goes.
    pub email: EmailAddress,
    /// The name its owner gave.
    pub name: String,
    /// PHC string of its password.
    pub password_hash: String,
    /// What it may do.
    pub role: Role,
    /// Whether its address needs no proof.
    pub verified: bool,
}

/// What a token in a mail is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPurpose {
    /// Proves that the address is the account's.
    Verification,
    /// Lets its bearer set a new password.
    Reset,
}

/// A token that a mail carries.
#[derive(Clone, Debug)]
pub struct NewMailToken {
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// What it is good for.
    pub purpose: TokenPurpose,
    /// Until when.
    pub expires_at: Timestamp,
}

/// A session that a log-in begins.
#[derive(Clone, Debug)]
pub struct NewSession {
    /// Whose it is.
    pub user: UserId,
    /// SHA-256 of the refresh token.
    pub token_hash: [u8; 32],
    /// Until when it can be refreshed.
    pub expires_at: Timestamp,
}

impl TokenPurpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Reset => "reset",
        }
    }
}

impl Accounts {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Makes an account, the token that proves its address, and the mail that carries it: all of them or none.
    ///
    /// # Errors
    /// [`Error::EmailTaken`], [`Error::Unavailable`].
    pub async fn sign_up(
        &self,
        account: &NewAccount,
        token: &NewMailToken,
        mail: &NewMail,
        now: Timestamp,
    ) -> Result<UserId, Error> {
        let tx = self.db.begin().await?;
        let id = UserId(Uuid::now_v7());
        user::Entity::insert(to_row(id, account, now)).exec_without_returning(&tx).await.map_err(taken)?;
        let token = mail_token::ActiveModel {
            hash: Set(token.hash.to_vec()),
            user_id: Set(id.0),
            purpose: Set(token.purpose.as_str().to_owned()),
            created_at: Set(now.as_millis()),
            expires_at: Set(token.expires_at.as_millis()),
            used_at: Set(None),
        };
        mail_token::Entity::insert(token).exec_without_returning(&tx).await?;
        outbox::insert(&tx, mail, now).await?;
        tx.commit().await?; // its id is new: nobody has asked for its profile yet
        Ok(id)
    }

    /// Makes accounts without a mail, all of them or none.
    ///
    /// # Errors
    /// [`Error::EmailTaken`], [`Error::Unavailable`].
    pub async fn create(&self, accounts: &[NewAccount], now: Timestamp) -> Result<Vec<UserId>, Error> {
        let tx = self.db.begin().await?;
        let ids: Vec<UserId> = accounts.iter().map(|_| UserId(Uuid::now_v7())).collect();
        let rows: Vec<_> = ids.iter().zip(accounts).map(|(id, account)| to_row(*id, account, now)).collect();
        for rows in rows.chunks(1000) {
            user::Entity::insert_many(rows.to_vec()).exec_without_returning(&tx).await.map_err(taken)?;
        }
        tx.commit().await?;
        Ok(ids)
    }

    /// Uses up a verification token and marks its account's address as proven. `false` where the token is unknown,
    /// used or expired.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn verify(&self, token_hash: &[u8; 32], now: Timestamp) -> Result<bool, Error> {
        let tx = self.db.begin().await?;
        let unused = mail_token::Column::Hash
            .eq(token_hash.to_vec())
            .and(mail_token::Column::Purpose.eq(TokenPurpose::Verification.as_str()))
            .and(mail_token::Column::UsedAt.is_null())
            .and(mail_token::Column::ExpiresAt.gt(now.as_millis()));
        let used = mail_token::Entity::update_many()
            .col_expr(mail_token::Column::UsedAt, Expr::value(now.as_millis()))
            .filter(unused)
            .exec_with_returning(&tx)
            .await?;
        let Some(token) = used.into_iter().next() else { return Ok(false) };
        user::Entity::update_many()
            .col_expr(user::Column::VerifiedAt, Expr::value(now.as_millis()))
            .col_expr(user::Column::UpdatedAt, Expr::value(now.as_millis()))
            .col_expr(user::Column::Version, Expr::col(user::Column::Version).add(1))
            .filter(user::Column::Id.eq(token.user_id))
            .exec(&tx)
            .await?;
        tx.commit().await?;
        Ok(true)
    }

    /// The account of an address, if there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn by_email(&self, email: &EmailAddress) -> Result<Option<Account>, Error> {
        let key = user::Column::EmailKey.eq(email.canonical());
        user::Entity::find().filter(key).one(&self.db.read).await?.map(to_account).transpose()
    }

    /// Begins a session.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn begin_session(&self, session: &NewSession, now: Timestamp) -> Result<(), Error> {
        let id = Uuid::now_v7();
        let row = session::ActiveModel {
            id: Set(id),
            family: Set(id),
            user_id: Set(session.user.0),
            token_hash: Set(session.token_hash.to_vec()),
            created_at: Set(now.as_millis()),
            expires_at: Set(session.expires_at.as_millis()),
            rotated_at: Set(None),
            revoked_at: Set(None),
        };
        let tx = self.db.begin().await?;
        session::Entity::insert(row).exec_without_returning(&tx).await?;
        Ok(tx.commit().await?)
    }
}

fn to_row(id: UserId, account: &NewAccount, now: Timestamp) -> user::ActiveModel {
    user::ActiveModel {
        id: Set(id.0),
        email: Set(account.email.as_str().to_owned()),
        email_key: Set(account.email.canonical()),
        name: Set(account.name.clone()),
        password_hash: Set(account.password_hash.clone()),
        role: Set(account.role.as_str().to_owned()),
        verified_at: Set(account.verified.then_some(now.as_millis())),
        created_at: Set(now.as_millis()),
        updated_at: Set(now.as_millis()),
        version: Set(1),
    }
}

fn to_account(row: user::Model) -> Result<Account, Error> {
    let corrupt = |column| Error::Corrupt { table: "users", column };
    Ok(Account {
        id: UserId(row.id),
        email: EmailAddress::parse(&row.email).map_err(|_| corrupt("email"))?,
        name: row.name,
        password_hash: row.password_hash,
        role: row.role.parse().map_err(|_| corrupt("role"))?,
        verified: row.verified_at.is_some(),
    })
}

fn taken(error: sea_orm::DbErr) -> Error {
    let error = Error::from(error);
    if error.is_duplicate() { Error::EmailTaken } else { error }
}
