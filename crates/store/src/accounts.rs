//! Users.

use examhall_core::{AccountName, Change, EmailAddress, Locale, Patch, Role, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::{NotSet, Set},
    ColumnTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, QuerySelect,
    sea_query::{Expr, LockType},
};
use uuid::Uuid;

use crate::{Error, Versioned, db::Db, entity::user};

/// Users, mail tokens, sessions.
#[derive(Clone, Debug)]
pub struct Accounts {
    pub(crate) db: Db,
}

/// An account as it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose it is.
    pub id: UserId,
    /// Where its mail goes.
    pub email: EmailAddress,
    /// Name of the owner.
    pub name: String,
    /// PHC string of its password.
    pub password_hash: String,
    /// What it may do.
    pub role: Role,
    /// Whether its address is proven to be its owner's.
    pub verified: bool,
    /// When it was made.
    pub created_at: Timestamp,
    /// Which generation of access tokens is good: one higher with every change that ends access.
    pub access_generation: i64,
    /// Language of its mails.
    pub locale: Option<Locale>,
    /// Whether results are mailed to it.
    pub result_mails: bool,
    /// Since when an administrator has it locked.
    pub locked_at: Option<Timestamp>,
    /// When it was deleted, where something of it stays.
    pub deleted_at: Option<Timestamp>,
}

/// A change of an account by its owner; what is absent stays.
#[derive(Clone, Debug, Default)]
pub struct AccountChange {
    /// Name of the owner.
    pub name: Option<String>,
    /// Language of its mails.
    pub locale: Patch<Locale>,
    /// Whether results are mailed to it.
    pub result_mails: Option<bool>,
}

/// An account to be made.
#[derive(Clone, Debug)]
pub struct NewAccount {
    /// Where its mail goes.
    pub email: EmailAddress,
    /// Name of the owner.
    pub name: String,
    /// PHC string of its password.
    pub password_hash: String,
    /// What it may do.
    pub role: Role,
    /// Whether its address needs no proof.
    pub verified: bool,
    /// Language of its mails.
    pub locale: Option<Locale>,
}

/// What a token in a mail is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenPurpose {
    /// Proves that the address is the account's.
    Verification,
    /// Lets its bearer set a new password.
    Reset,
    /// Logs its bearer in to the console, once.
    Console,
    /// Proves that another address is the account's, and makes it that.
    EmailChange,
    /// Gives the account its former address back.
    EmailUndo,
    /// Nothing: it records that an attempt to sign up was mailed to the address.
    Notice,
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

impl TokenPurpose {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Reset => "reset",
            Self::Console => "console",
            Self::EmailChange => "emailChange",
            Self::EmailUndo => "emailUndo",
            Self::Notice => "notice",
        }
    }
}

impl Accounts {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Makes accounts without a mail, all of them or none.
    ///
    /// # Errors
    /// [`Error::EmailTaken`], [`Error::Unavailable`].
    pub async fn create(&self, accounts: &[NewAccount], now: Timestamp) -> Result<Vec<UserId>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let ids: Vec<UserId> = accounts.iter().map(|_| UserId(Uuid::now_v7())).collect();
                let rows: Vec<_> = ids.iter().zip(accounts).map(|(id, account)| to_row(*id, account, now)).collect();
                for rows in rows.chunks(1000) {
                    user::Entity::insert_many(rows.to_vec()).exec_without_returning(&tx).await.map_err(taken)?;
                }
                tx.commit().await?;
                Ok(ids)
            })
            .await
    }

    /// The account of this name, if there is one.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn by_email(&self, name: impl Into<AccountName> + Send) -> Result<Option<Account>, Error> {
        let name = name.into();
        let found = user::Entity::find().filter(is_named(&name)).all(&self.db.read).await?;
        best(&name, found).map(to_account).transpose()
    }

    /// An account.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn get(&self, id: UserId) -> Result<Versioned<Account>, Error> {
        let row = user::Entity::find_by_id(id.0).one(&self.db.read).await?.ok_or(Error::NotFound)?;
        Ok(Versioned { version: row.version, value: to_account(row)? })
    }

    /// Changes an account, if its version is `expected` where that is given.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::VersionMismatch`], [`Error::Unavailable`].
    pub async fn change(
        &self,
        id: UserId,
        change: &AccountChange,
        expected: Option<i64>,
        now: Timestamp,
    ) -> Result<Versioned<Account>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row =
                    user::Entity::find_by_id(id.0).lock(LockType::Update).one(&tx).await?.ok_or(Error::NotFound)?;
                let version = row.version + 1;
                if expected.is_some_and(|expected| expected != row.version) {
                    return Err(Error::VersionMismatch { current: row.version });
                }
                let mut row = row.into_active_model();
                if let Some(name) = &change.name {
                    row.name = Set(name.clone());
                }
                if change.locale != Patch::Keep {
                    row.locale = Set(change.locale.clone().applied_to(None).map(String::from));
                }
                if let Some(wanted) = change.result_mails {
                    row.results_unsubscribed_at = Set((!wanted).then_some(now.as_millis()));
                }
                row.version = Set(version);
                row.updated_at = Set(now.as_millis());
                let row = row.update(&tx).await?;
                let value = to_account(row)?; // what is committed can be answered
                self.db.commit(tx, &[Change::Profile(id)], now).await?;
                Ok(Versioned { version, value })
            })
            .await
    }

    /// Notes that results are not to be mailed to an account any more. A second time, and for an account that is gone, does
    /// nothing.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn unsubscribe_from_results(&self, id: UserId, now: Timestamp) -> Result<(), Error> {
        use user::Column;
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let changed = user::Entity::update_many()
                    .col_expr(Column::ResultsUnsubscribedAt, Expr::value(now.as_millis()))
                    .col_expr(Column::UpdatedAt, Expr::value(now.as_millis()))
                    .col_expr(Column::Version, Expr::col(Column::Version).add(1))
                    .filter(Column::Id.eq(id.0).and(Column::ResultsUnsubscribedAt.is_null()))
                    .exec(&tx)
                    .await?;
                if changed.rows_affected > 0 {
                    self.db.commit(tx, &[Change::Profile(id)], now).await?;
                }
                Ok(())
            })
            .await
    }
}

pub(crate) fn is_named(name: &AccountName) -> Expr {
    user::Column::EmailKey.is_in(name.keys())
}

/// Of the accounts that a name may mean, the one whose key comes first: a key of former rules is more exact.
pub(crate) fn best(name: &AccountName, found: Vec<user::Model>) -> Option<user::Model> {
    found.into_iter().min_by_key(|row| name.keys().iter().position(|key| *key == row.email_key))
}

pub(crate) fn to_row(id: UserId, account: &NewAccount, now: Timestamp) -> user::ActiveModel {
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
        access_generation: NotSet, // a trigger counts it
        sign_ups: Set(1),
        locale: Set(account.locale.clone().map(String::from)),
        results_unsubscribed_at: Set(None),
        locked_at: Set(None),
        deleted_at: Set(None),
    }
}

pub(crate) fn to_account(row: user::Model) -> Result<Account, Error> {
    let corrupt = |column| Error::Corrupt { table: "users", column };
    Ok(Account {
        id: UserId(row.id),
        email: EmailAddress::from_stored(row.email),
        name: row.name,
        password_hash: row.password_hash,
        role: row.role.parse().map_err(|_| corrupt("role"))?,
        verified: row.verified_at.is_some(),
        created_at: Timestamp::from_millis(row.created_at),
        access_generation: row.access_generation,
        locale: row.locale.as_deref().and_then(|tag| Locale::parse(tag).ok()),
        result_mails: row.results_unsubscribed_at.is_none(),
        locked_at: row.locked_at.map(Timestamp::from_millis),
        deleted_at: row.deleted_at.map(Timestamp::from_millis),
    })
}

fn taken(error: sea_orm::DbErr) -> Error {
    let error = Error::from(error);
    if error.is_duplicate() { Error::EmailTaken } else { error }
}
