//! Accounts in the hands of administrators: found, given another role, locked, invited. All of it is recorded.

use examhall_core::{Change, Role, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, IntoActiveModel, QueryFilter, QuerySelect, QueryTrait,
    sea_query::{Expr, LockType},
};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::{
    Account, Accounts, Error, KeyKind, Listed, NewAccount, NewMail, NewMailToken, Position, Sort, SortKey, SortedPage,
    Versioned,
    account_end::keep_an_admin,
    accounts::{to_account, to_row},
    audit::{self, Entry},
    contains::contains,
    entity::user,
    mail_tokens, outbox,
    sessions::revoke_all,
    sorted::text_key,
};

/// Which accounts are wanted; what is absent does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserFilter {
    /// Those of this role.
    pub role: Option<Role>,
    /// Those in this state.
    pub state: Option<UserState>,
    /// Those whose name or address contains this, in any case.
    pub text: Option<String>,
}

/// How an account is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserState {
    /// Its owner can log in.
    Active,
    /// Its address is not proven.
    Unverified,
    /// An administrator has locked it.
    Locked,
    /// It was deleted, and something of it stays.
    Deleted,
}

/// What accounts are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UserSort {
    /// When they were made.
    Created,
    /// The name.
    Name,
    /// The address.
    Email,
}

/// What an administrator does to an account.
#[derive(Clone, Debug, Default)]
pub struct UserChange {
    /// Another role.
    pub role: Option<Role>,
    /// Another name.
    pub name: Option<String>,
    /// Whether it is locked from now on.
    pub locked: Option<bool>,
    /// Why, if the administrator says so.
    pub reason: Option<String>,
}

impl Account {
    /// How it is.
    pub const fn state(&self) -> UserState {
        match self {
            Self { deleted_at: Some(_), .. } => UserState::Deleted,
            Self { locked_at: Some(_), .. } => UserState::Locked,
            Self { verified: false, .. } => UserState::Unverified,
            _ => UserState::Active,
        }
    }
}

impl UserState {
    fn sql(self) -> Expr {
        use user::Column::{DeletedAt, LockedAt, VerifiedAt};
        let is_there = DeletedAt.is_null();
        match self {
            Self::Deleted => DeletedAt.is_not_null(),
            Self::Locked => is_there.and(LockedAt.is_not_null()),
            Self::Unverified => is_there.and(LockedAt.is_null()).and(VerifiedAt.is_null()),
            Self::Active => is_there.and(LockedAt.is_null()).and(VerifiedAt.is_not_null()),
        }
    }
}

impl Sort for UserSort {
    fn kind(self) -> KeyKind {
        match self {
            Self::Created => KeyKind::Id,
            Self::Name | Self::Email => KeyKind::Text,
        }
    }
}

impl UserSort {
    fn sql(self) -> Option<Expr> {
        let column = |column: user::Column| Some(text_key(Expr::col((user::Entity, column))));
        match self {
            Self::Created => None,
            Self::Name => column(user::Column::Name),
            Self::Email => column(user::Column::Email),
        }
    }

    fn position(self, row: &user::Model) -> Position {
        let key = match self {
            Self::Created => None,
            Self::Name => Some(SortKey::Text(row.name.clone())),
            Self::Email => Some(SortKey::Text(row.email.clone())),
        };
        Position { key, id: row.id }
    }
}

impl Accounts {
    /// Accounts, a page at a time.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(
        &self,
        filter: &UserFilter,
        page: &SortedPage<UserSort>,
    ) -> Result<Listed<Account, Position>, Error> {
        let backend = self.db.read.get_database_backend();
        let found = user::Entity::find()
            .apply_if(filter.role, |found, role| found.filter(user::Column::Role.eq(role.as_str())))
            .apply_if(filter.state, |found, state| found.filter(state.sql()))
            .apply_if(filter.text.as_deref(), |found, text| {
                let columns = [user::Column::Name, user::Column::Email];
                let [name, email] = columns.map(|column| contains(backend, Expr::col((user::Entity, column)), text));
                found.filter(name.or(email))
            });
        let rows = page.select(found, page.sort.sql(), user::Column::Id).all(&self.db.read).await?;
        let Listed { items, next } = page.cut(rows, |row: &user::Model| page.sort.position(row));
        let items = items.into_iter().map(to_account).collect::<Result<_, _>>()?;
        Ok(Listed { items, next })
    }

    /// Changes an account, if its version is `expected` where that is given. Another role, and a lock, end its access within
    /// 2 s; a lock ends its sessions, too.
    ///
    /// # Errors
    /// [`Error::NotFound`], also where it was deleted; [`Error::VersionMismatch`]; [`Error::WrongState`] where `by` would
    /// take their own rights, or no administrator would be left; [`Error::Unavailable`].
    pub async fn administer(
        &self,
        id: UserId,
        change: &UserChange,
        expected: Option<i64>,
        by: UserId,
        now: Timestamp,
    ) -> Result<Versioned<Account>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = user::Entity::find_by_id(id.0).lock(LockType::Update).one(&tx).await?;
                let row = row.filter(|row| row.deleted_at.is_none()).ok_or(Error::NotFound)?;
                if expected.is_some_and(|expected| expected != row.version) {
                    return Err(Error::VersionMismatch { current: row.version });
                }
                let before = to_account(row.clone())?;
                let takes_rights = change.locked == Some(true) || change.role.is_some_and(|role| role != before.role);
                if takes_rights && id == by {
                    return Err(Error::WrongState("administrators cannot lock themselves out"));
                }
                if takes_rights && before.role == Role::Admin {
                    keep_an_admin(&tx, id).await?;
                }
                let changed = write(&tx, row, change, now).await?;
                if change.locked == Some(true) {
                    revoke_all(&tx, id, now).await?;
                }
                let (was, is) = (rights(&before), rights(&changed.value));
                if was != is {
                    let entry = Entry::of_user(by, word(change), id).changing(was, is).because(change.reason.clone());
                    audit::write(&tx, entry, now).await?;
                }
                self.db.commit(tx, &[Change::Profile(id)], now).await?;
                Ok(changed)
            })
            .await
    }

    /// Makes an account whose owner chooses the password by the link in `mail`, which has `token`.
    ///
    /// # Errors
    /// [`Error::EmailTaken`], [`Error::Unavailable`].
    pub async fn invite(
        &self,
        account: &NewAccount,
        token: &NewMailToken,
        mail: &NewMail,
        by: UserId,
        now: Timestamp,
    ) -> Result<Versioned<Account>, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let id = UserId(Uuid::now_v7());
                let made = user::Entity::insert(to_row(id, account, now)).exec_without_returning(&tx).await;
                match made.map_err(Error::from) {
                    Err(error) if error.is_duplicate() => return Err(Error::EmailTaken),
                    made => made?,
                };
                mail_tokens::insert(&tx, id, token, now).await?;
                outbox::insert(&tx, mail, now).await?;
                let row = user::Entity::find_by_id(id.0).one(&tx).await?.ok_or(Error::NotFound)?;
                let (version, value) = (row.version, to_account(row)?);
                let entry = Entry::of_user(by, "invite user", id).changing(Value::Null, rights(&value));
                audit::write(&tx, entry, now).await?;
                self.db.commit(tx, &[Change::Profile(id)], now).await?;
                Ok(Versioned { version, value })
            })
            .await
    }
}

async fn write(
    tx: &sea_orm::DatabaseTransaction,
    row: user::Model,
    change: &UserChange,
    now: Timestamp,
) -> Result<Versioned<Account>, Error> {
    let (id, version, locked_at) = (row.id, row.version + 1, row.locked_at);
    let mut row = row.into_active_model();
    if let Some(role) = change.role {
        row.role = Set(role.as_str().to_owned());
    }
    if let Some(name) = &change.name {
        row.name = Set(name.clone());
    }
    if let Some(locked) = change.locked {
        row.locked_at = Set(locked.then(|| locked_at.unwrap_or(now.as_millis())));
    }
    row.version = Set(version);
    row.updated_at = Set(now.as_millis());
    row.update(tx).await?;
    let row = user::Entity::find_by_id(id).one(tx).await?.ok_or(Error::NotFound)?;
    Ok(Versioned { version, value: to_account(row)? })
}

/// What the audit trail shows of an account.
fn rights(account: &Account) -> Value {
    json!({"name": account.name, "role": account.role, "locked": account.locked_at.is_some()})
}

fn word(change: &UserChange) -> &'static str {
    match change.locked {
        Some(true) => "lock user",
        Some(false) => "unlock user",
        None => "change user",
    }
}
