//! Mails committed with the change that causes them, until they are in the queue.

mod claim;
mod mail;
mod search;

use std::{ops::Range, time::Duration};

use examhall_core::{MailClass, OutboxBacklog, Timestamp};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, ExprTrait},
};
use uuid::Uuid;

use self::mail::to_record;
pub(crate) use self::mail::to_row;
pub use self::{
    mail::{MailOutcome, MailRecord, NewMail, WaitingMail},
    search::{MailPlace, MailRow, MailSearch},
};
use crate::{Error, Listed, Page, db::Db, entity::mail_outbox};

/// Mails that wait to be queued.
#[derive(Clone, Debug)]
pub struct Outbox {
    db: Db,
}

/// Mails that wait to be queued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// How many they are.
    pub mails: u64,
    /// When the first of them was committed.
    pub oldest: Option<Timestamp>,
}

impl Outbox {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Commits a mail of its own.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn add(&self, mail: &NewMail, now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                insert(&tx, mail, now).await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Releases claimed mails that could not be queued for no fault of theirs: another relay may claim them at once.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn release(&self, ids: &[Uuid]) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                mail_outbox::Entity::update_many()
                    .col_expr(mail_outbox::Column::ClaimedUntil, Expr::value(None::<i64>))
                    .col_expr(mail_outbox::Column::Claims, Expr::value(0))
                    .filter(mail_outbox::Column::Id.is_in(ids.iter().copied()))
                    .exec(&tx)
                    .await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Notes that mails are in the queue.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn mark_queued(&self, ids: &[Uuid], now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                mail_outbox::Entity::update_many()
                    .col_expr(mail_outbox::Column::EnqueuedAt, Expr::value(now.as_millis()))
                    .filter(mail_outbox::Column::Id.is_in(ids.iter().copied()))
                    .exec(&tx)
                    .await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Commits a mail that the caller takes to the queue itself: no relay gets it for `hold`. Where a request of the same
    /// `key` was used before, returns its mail and changes nothing; a key is forgotten with its mail.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn add_claimed(
        &self,
        mail: &NewMail,
        key: Option<&[u8]>,
        hold: Duration,
        now: Timestamp,
    ) -> Result<Option<MailRecord>, Error> {
        self.db
            .retry(|| async {
                if let Some(record) = self.of_key(key).await? {
                    return Ok(Some(record));
                }
                let row = mail_outbox::ActiveModel {
                    claimed_until: Set(Some(now.plus(hold).as_millis())),
                    claims: Set(1),
                    request_key: Set(key.map(Into::into)),
                    ..to_row(mail, now)
                };
                let tx = self.db.begin().await?;
                let added = mail_outbox::Entity::insert(row).exec_without_returning(&tx).await.map_err(Error::from);
                match added {
                    Ok(_) => tx.commit().await.map(|()| None).map_err(Error::from),
                    Err(error) if error.is_duplicate() => {
                        drop(tx); // another request with the same key came first
                        self.of_key(key).await?.map(Some).ok_or(Error::NotFound)
                    }
                    Err(error) => Err(error),
                }
            })
            .await
    }

    async fn of_key(&self, key: Option<&[u8]>) -> Result<Option<MailRecord>, Error> {
        let Some(key) = key else { return Ok(None) };
        let of_key = mail_outbox::Entity::find().filter(mail_outbox::Column::RequestKey.eq(key));
        of_key.one(&self.db.read).await?.map(to_record).transpose()
    }

    /// A mail, if there is one of this id.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn get(&self, id: Uuid) -> Result<Option<MailRecord>, Error> {
        mail_outbox::Entity::find_by_id(id).one(&self.db.read).await?.map(to_record).transpose()
    }

    /// The next mails of which nobody knows yet what became of them. Those that were queued within `young`, which ends now,
    /// are left out; what was queued later than now was so by a clock that ran ahead, and nobody can say when.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn open(&self, page: Page, young: Range<Timestamp>) -> Result<Listed<Uuid>, Error> {
        use mail_outbox::Column;
        let is_young = Column::EnqueuedAt.between(young.start.as_millis() + 1, young.end.as_millis());
        let is_open = Column::Outcome.is_null().and(Column::EnqueuedAt.is_not_null()).and(is_young.not());
        let mut found = mail_outbox::Entity::find().select_only().column(Column::Id).filter(is_open);
        if let Some(after) = page.after {
            found = found.filter(Column::Id.gt(after));
        }
        let found = found.order_by_asc(Column::Id).limit(page.fetch());
        let ids: Vec<Uuid> = found.into_tuple().all(&self.db.read).await?;
        Ok(page.cut(ids, |id| *id))
    }

    /// Notes what became of mails, unless that is noted already; returns how many were open.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn close(&self, ids: &[Uuid], outcome: MailOutcome, now: Timestamp) -> Result<u64, Error> {
        self.db
            .retry(|| async {
                if ids.is_empty() {
                    return Ok(0);
                }
                let tx = self.db.begin().await?;
                let closed = set_outcome(&tx, ids, outcome, now).await?;
                tx.commit().await?;
                Ok(closed)
            })
            .await
    }

    /// Opens a mail again that was closed as removed, and cannot be removed from the queue.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn undo_removal(&self, id: Uuid) -> Result<(), Error> {
        self.db
            .retry(|| async {
                use mail_outbox::Column;
                let tx = self.db.begin().await?;
                mail_outbox::Entity::update_many()
                    .col_expr(Column::Outcome, Expr::value(None::<String>))
                    .col_expr(Column::OutcomeAt, Expr::value(None::<i64>))
                    .filter(Column::Id.eq(id).and(Column::Outcome.eq(MailOutcome::Removed.as_str())))
                    .exec(&tx)
                    .await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Notes that failed mails are in the queue once more: until it is known again what becomes of them, they are missed
    /// where the queue loses them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn mark_retried(&self, ids: &[Uuid], now: Timestamp) -> Result<(), Error> {
        self.db
            .retry(|| async {
                use mail_outbox::Column;
                let has_failed = Column::Outcome.eq(MailOutcome::Failed.as_str());
                let tx = self.db.begin().await?;
                mail_outbox::Entity::update_many()
                    .col_expr(Column::Outcome, Expr::value(None::<String>))
                    .col_expr(Column::OutcomeAt, Expr::value(None::<i64>))
                    .col_expr(Column::EnqueuedAt, Expr::value(now.as_millis()))
                    .filter(Column::Id.is_in(ids.iter().copied()).and(has_failed))
                    .exec(&tx)
                    .await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Makes mails wait again whose jobs the queue has lost: the next relay queues them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn reopen(&self, ids: &[Uuid]) -> Result<(), Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                mail_outbox::Entity::update_many()
                    .col_expr(mail_outbox::Column::EnqueuedAt, Expr::value(None::<i64>))
                    .col_expr(mail_outbox::Column::ClaimedUntil, Expr::value(None::<i64>))
                    .col_expr(mail_outbox::Column::Claims, Expr::value(0))
                    .filter(
                        mail_outbox::Column::Id.is_in(ids.iter().copied()).and(mail_outbox::Column::Outcome.is_null()),
                    )
                    .exec(&tx)
                    .await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// Deletes mails that ended long ago: those that were sent or removed before `ended`, and those that failed before
    /// `failed`; returns how many. A failed mail is to be found as long as its job.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn prune(&self, ended: Timestamp, failed: Timestamp) -> Result<u64, Error> {
        self.db
            .retry(|| async {
                use mail_outbox::Column;
                let tx = self.db.begin().await?;
                let is_old = |outcome: MailOutcome, before: Timestamp| {
                    Column::Outcome.eq(outcome.as_str()).and(Column::OutcomeAt.lt(before.as_millis()))
                };
                let is_old = is_old(MailOutcome::Sent, ended)
                    .or(is_old(MailOutcome::Removed, ended))
                    .or(is_old(MailOutcome::Failed, failed));
                let deleted = mail_outbox::Entity::delete_many().filter(is_old).exec(&tx).await?.rows_affected;
                tx.commit().await?;
                Ok(deleted)
            })
            .await
    }

    /// What waits to be queued, by the class of the mails.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn backlog_by_class(&self) -> Result<Vec<OutboxBacklog>, Error> {
        use mail_outbox::Column;
        let waits = Column::EnqueuedAt.is_null().and(Column::Outcome.is_null());
        let found = mail_outbox::Entity::find().select_only().column(Column::Class).filter(waits);
        let found = found.column_as(Column::Id.count(), "mails").column_as(Column::CreatedAt.min(), "oldest");
        let rows: Vec<(String, i64, Option<i64>)> =
            found.group_by(Column::Class).into_tuple().all(&self.db.read).await?;
        let backlog = |(class, mails, oldest): (String, i64, Option<i64>)| OutboxBacklog {
            class: MailClass::from_word(&class),
            mails: u64::try_from(mails).unwrap_or(0),
            oldest: oldest.map(Timestamp::from_millis),
        };
        Ok(rows.into_iter().map(backlog).collect())
    }

    /// What waits to be queued.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn backlog(&self) -> Result<Backlog, Error> {
        use mail_outbox::Column;
        let waits = Column::EnqueuedAt.is_null().and(Column::Outcome.is_null());
        let found = mail_outbox::Entity::find().select_only().filter(waits);
        let found = found.column_as(Column::Id.count(), "mails").column_as(Column::CreatedAt.min(), "oldest");
        let row: Option<(i64, Option<i64>)> = found.into_tuple().one(&self.db.read).await?;
        let (mails, oldest) = row.unwrap_or_default();
        Ok(Backlog { mails: u64::try_from(mails).unwrap_or(0), oldest: oldest.map(Timestamp::from_millis) })
    }
}

async fn set_outcome(
    tx: &DatabaseTransaction,
    ids: &[Uuid],
    outcome: MailOutcome,
    now: Timestamp,
) -> Result<u64, Error> {
    let updated = mail_outbox::Entity::update_many()
        .col_expr(mail_outbox::Column::Outcome, Expr::value(outcome.as_str()))
        .col_expr(mail_outbox::Column::OutcomeAt, Expr::value(now.as_millis()))
        .filter(mail_outbox::Column::Id.is_in(ids.iter().copied()).and(mail_outbox::Column::Outcome.is_null()))
        .exec(tx)
        .await?;
    Ok(updated.rows_affected)
}

pub(crate) async fn insert(tx: &DatabaseTransaction, mail: &NewMail, now: Timestamp) -> Result<(), Error> {
    mail_outbox::Entity::insert(to_row(mail, now)).exec_without_returning(tx).await?;
    Ok(())
}
