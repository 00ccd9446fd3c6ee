//! The end of an account. What somebody else must keep (attempts with their answers and results, exams) stays, and names
//! nobody any more; everything else is deleted.

use examhall_core::{Change, Role, Timestamp, UserId};
use sea_orm::{
    ActiveModelTrait,
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, IntoActiveModel, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
    sea_query::{Expr, LockType},
};
use serde_json::json;
use uuid::Uuid;

use crate::{
    Account, Accounts, Error, NewMail,
    accounts::to_account,
    audit::{self, Entry},
    entity::{accommodation, attempt, exam, idempotency_key, mail_token, session, user},
    outbox,
    seats::end_seats,
};

/// Name of an account that was deleted, where something of it stays.
const DELETED_NAME: &str = "Deleted account";

/// Who deletes an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deleter<'a> {
    /// Its owner, who knew the password with this PHC string.
    Owner(&'a str),
    /// An administrator: it is recorded.
    Admin(UserId),
}

impl Accounts {
    /// Deletes an account, and commits the mail that says so.
    ///
    /// Its open attempts take no answers from now on, and are submitted with what is saved, as by their deadline. Against a
    /// submission or a start at the same time, one of them comes first, and decides.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::WrongState`] where it has exams that are not closed, is the last administrator, or its
    /// password was changed meanwhile; [`Error::Unavailable`].
    pub async fn delete(
        &self,
        id: UserId,
        by: Deleter<'_>,
        unusable: &str,
        mail: impl Fn(&Account) -> NewMail + Send + Sync,
        now: Timestamp,
    ) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                // In the order in which submitting locks them: first attempts, then their student.
                let attempts = lock_attempts(&tx, id).await?;
                let row =
                    user::Entity::find_by_id(id.0).lock(LockType::Update).one(&tx).await?.ok_or(Error::NotFound)?;
                if row.deleted_at.is_some() {
                    return Err(Error::NotFound);
                }
                if matches!(by, Deleter::Owner(known) if known != row.password_hash) {
                    return Err(Error::WrongState("the password was changed meanwhile"));
                }
                if row.role == Role::Admin.as_str() {
                    keep_an_admin(&tx, id).await?;
                }
                let written = written_by(&tx, id).await?;
                let before = to_account(row.clone())?;
                // Again: one may have been started between the two locks.
                end_seats(&tx, &row).await?;
                let stays = written > 0 || attempts > 0 || lock_attempts(&tx, id).await? > 0;
                if stays {
                    end_attempts(&tx, id, now).await?;
                    forget(&tx, id).await?;
                    anonymise(&tx, row, unusable, now).await?;
                } else {
                    user::Entity::delete_by_id(id.0).exec(&tx).await?;
                }
                outbox::insert(&tx, &mail(&before), now).await?;
                if let Deleter::Admin(admin) = by {
                    let what = json!({"role": before.role});
                    let entry = Entry::of_user(admin, "delete user", id).changing(what, json!({"anonymised": stays}));
                    audit::write(&tx, entry, now).await?;
                }
                self.db.commit(tx, &[Change::Profile(id)], now).await
            })
            .await
    }
}

/// Locks the attempts of an account; returns how many there are.
async fn lock_attempts(tx: &DatabaseTransaction, user: UserId) -> Result<usize, Error> {
    let theirs = attempt::Entity::find().select_only().column(attempt::Column::Id).order_by_asc(attempt::Column::Id);
    let theirs = theirs.filter(attempt::Column::UserId.eq(user.0)).lock(LockType::Update);
    Ok(theirs.into_tuple::<Uuid>().all(tx).await?.len())
}

/// Locks all administrators that can log in.
///
/// # Errors
/// [`Error::WrongState`] where `user` is the last one.
pub(crate) async fn keep_an_admin(tx: &DatabaseTransaction, user: UserId) -> Result<(), Error> {
    let able = user::Column::Role
        .eq(Role::Admin.as_str())
        .and(user::Column::VerifiedAt.is_not_null())
        .and(user::Column::LockedAt.is_null());
    let admins = user::Entity::find().select_only().column(user::Column::Id).filter(able);
    let admins: Vec<Uuid> = admins.order_by_asc(user::Column::Id).lock(LockType::Update).into_tuple().all(tx).await?;
    if admins.iter().all(|admin| *admin == user.0) {
        return Err(Error::WrongState("this is the last administrator"));
    }
    Ok(())
}

/// How many exams an account has written; none of them may be open.
async fn written_by(tx: &DatabaseTransaction, user: UserId) -> Result<u64, Error> {
    let theirs = || exam::Entity::find().filter(exam::Column::AuthorId.eq(user.0));
    let closed = examhall_core::ExamStatus::Closed.as_str();
    if theirs().filter(exam::Column::Status.ne(closed)).count(tx).await? > 0 {
        return Err(Error::WrongState("this account has exams that are not closed: close or delete them first"));
    }
    Ok(theirs().count(tx).await?)
}

/// From now on open attempts take no answers; they are submitted as at their deadline.
async fn end_attempts(tx: &DatabaseTransaction, user: UserId, now: Timestamp) -> Result<(), Error> {
    use attempt::Column;
    attempt::Entity::update_many()
        .col_expr(Column::Deadline, Expr::value(now.as_millis()))
        .filter(Column::UserId.eq(user.0).and(Column::SubmittedAt.is_null()).and(Column::Deadline.gt(now.as_millis())))
        .exec(tx)
        .await?;
    Ok(())
}

/// Deletes what nobody else needs.
async fn forget(tx: &DatabaseTransaction, user: UserId) -> Result<(), Error> {
    mail_token::Entity::delete_many().filter(mail_token::Column::UserId.eq(user.0)).exec(tx).await?;
    session::Entity::delete_many().filter(session::Column::UserId.eq(user.0)).exec(tx).await?;
    idempotency_key::Entity::delete_many().filter(idempotency_key::Column::UserId.eq(user.0)).exec(tx).await?;
    accommodation::Entity::delete_many().filter(accommodation::Column::UserId.eq(user.0)).exec(tx).await?;
    Ok(())
}

async fn anonymise(tx: &DatabaseTransaction, row: user::Model, unusable: &str, now: Timestamp) -> Result<(), Error> {
    let (id, version) = (row.id, row.version + 1);
    let address = format!("{}@deleted.invalid", id.simple());
    let mut row = row.into_active_model();
    row.email = Set(address.clone());
    row.email_key = Set(address);
    row.name = Set(DELETED_NAME.to_owned());
    row.password_hash = Set(unusable.to_owned());
    row.role = Set(Role::Student.as_str().to_owned());
    row.verified_at = Set(None); // a trigger ends its access
    row.locale = Set(None);
    row.results_unsubscribed_at = Set(Some(now.as_millis()));
    row.deleted_at = Set(Some(now.as_millis()));
    row.version = Set(version);
    row.updated_at = Set(now.as_millis());
    row.update(tx).await?;
    Ok(())
}
