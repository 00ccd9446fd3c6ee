//! The claim of a relay: a lease on mails that wait, counted in the row itself.
//!
//! ```text
//!   claims = 0   new: most urgent first             ─┐
//!                                                    ├─> claimed: claims + 1, run_at later each time
//!   claims > 0   was claimed and not queued: run_at ─┘      queued: enqueued_at    released: claims = 0
//! ```
//! The claim itself defers the mail's next turn, so a mail that cannot be composed, or whose relay dies of it, needs no
//! further write to wait apart from new mails: there is no head-of-line blocking.

use std::time::Duration;

use examhall_core::Timestamp;
use sea_orm::{
    ColumnTrait, Condition, ConnectionTrait, DatabaseTransaction, DbBackend, EntityTrait, QueryFilter, QueryOrder,
    QuerySelect, Select,
    sea_query::{Expr, ExprTrait, LockBehavior, LockType},
};
use uuid::Uuid;

use super::{MailOutcome, Outbox, WaitingMail, mail::to_waiting};
use crate::{
    Error,
    entity::mail_outbox::{self, Column},
};

/// Wait of a mail that was claimed `n` times before and not queued: `n` times this, up to [`LONGEST_WAIT`].
const WAIT: Duration = Duration::from_mins(1);
const LONGEST_WAIT: Duration = Duration::from_mins(10);
/// Part of a claim that goes to mails that were claimed before: one in four.
const AGAIN: u64 = 4;
/// Priorities that mails have, each with its own share of a claim that takes the newest too.
const PRIORITIES: std::ops::RangeInclusive<i32> = 1..=10;

/// Which of the new mails a claim takes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Order {
    MostUrgent,
    NewestToo,
}

impl Outbox {
    /// Claims up to `limit` new mails, the most urgent and of those the oldest first, and up to a quarter as many that were claimed before and not queued. Nobody else
    /// gets them for `lease`; the claim of a relay that dies ends by itself.
    ///
    /// A row that cannot be read is closed as failed in the same transaction, counted in
    /// `mail_outbox_unreadable_total`, and named once in the log.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn claim(&self, limit: u64, lease: Duration, now: Timestamp) -> Result<Vec<WaitingMail>, Error> {
        self.db.retry(|| self.claim_in(Order::MostUrgent, limit, lease, now)).await
    }

    /// As [`claim`](Self::claim), with half of the new mails taken from the newest of each priority: for a relay whose
    /// last claim held mails that cannot be queued. However many of those wait, a mail that can be queued is not behind
    /// all of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn claim_with_newest(
        &self,
        limit: u64,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<WaitingMail>, Error> {
        self.db.retry(|| self.claim_in(Order::NewestToo, limit, lease, now)).await
    }

    async fn claim_in(
        &self,
        order: Order,
        limit: u64,
        lease: Duration,
        now: Timestamp,
    ) -> Result<Vec<WaitingMail>, Error> {
        let tx = self.db.begin().await?;
        let lanes = Lanes { tx: &tx, lease, now };
        let mut ids = lanes.unclaimed(limit, order).await?;
        ids.extend(lanes.again(limit.div_ceil(AGAIN)).await?);
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        mark_claimed(&tx, &ids, lease, now).await?;
        let (mut mails, unreadable) = read(&tx, &ids).await?;
        close_unreadable(&tx, &unreadable, now).await?;
        tx.commit().await?;
        mails.sort_by_key(|waiting| (std::cmp::Reverse(waiting.mail.priority), waiting.mail.id));
        Ok(mails)
    }
}

/// What may be claimed, in two queues.
struct Lanes<'a> {
    tx: &'a DatabaseTransaction,
    lease: Duration,
    now: Timestamp,
}

impl Lanes<'_> {
    async fn unclaimed(&self, limit: u64, order: Order) -> Result<Vec<Uuid>, Error> {
        let new = || self.waiting().filter(Column::Claims.eq(0));
        let urgent = |limit| new().order_by_desc(Column::Priority).order_by_asc(Column::Id).limit(limit);
        if order == Order::MostUrgent {
            return self.lock(urgent(limit)).await;
        }
        let mut ids = self.lock(urgent(limit / 2)).await?;
        for priority in PRIORITIES {
            let newest = new().filter(Column::Priority.eq(priority)).order_by_desc(Column::Id);
            let newest = self.lock(newest.limit(Ord::max(limit / 20, 1))).await?;
            ids.extend(newest.into_iter().filter(|id| !ids.contains(id)).collect::<Vec<_>>());
        }
        Ok(ids)
    }

    async fn again(&self, limit: u64) -> Result<Vec<Uuid>, Error> {
        // A turn that is later than any wait was set by a clock that ran ahead.
        let is_due = Column::RunAt.not_between(self.now.as_millis() + 1, self.now.plus(LONGEST_WAIT).as_millis());
        let again = self.waiting().filter(Column::Claims.gt(0).and(is_due)).order_by_asc(Column::RunAt);
        self.lock(again.limit(limit)).await
    }

    /// Mails that wait and that no relay has a claim on.
    fn waiting(&self) -> Select<mail_outbox::Entity> {
        let (from, until) = (self.now.as_millis() + 1, self.now.plus(self.lease).as_millis());
        // A claim that lasts longer than claims do was made by a clock that ran ahead.
        let is_free =
            Condition::any().add(Column::ClaimedUntil.is_null()).add(Column::ClaimedUntil.not_between(from, until));
        mail_outbox::Entity::find().filter(Column::EnqueuedAt.is_null().and(Column::Outcome.is_null())).filter(is_free)
    }

    async fn lock(&self, found: Select<mail_outbox::Entity>) -> Result<Vec<Uuid>, Error> {
        let found = match self.tx.get_database_backend() {
            DbBackend::Postgres => found.lock_with_behavior(LockType::Update, LockBehavior::SkipLocked),
            _ => found,
        };
        Ok(found.select_only().column(Column::Id).into_tuple().all(self.tx).await?)
    }
}

/// Takes the lease, and defers the next turn for the case that nothing comes of this one. The first time the lease alone
/// does: most claims that end so are those of a relay that died.
async fn mark_claimed(tx: &DatabaseTransaction, ids: &[Uuid], lease: Duration, now: Timestamp) -> Result<(), Error> {
    let ms = |span: Duration| i64::try_from(span.as_millis()).unwrap_or(i64::MAX);
    let longest = ms(LONGEST_WAIT) / ms(WAIT);
    let waits = Expr::case(Column::Claims.lt(longest), Expr::col(Column::Claims)).finally(longest);
    let run_at = Expr::expr(waits).mul(ms(WAIT)).add(now.as_millis());
    mail_outbox::Entity::update_many()
        .col_expr(Column::ClaimedUntil, Expr::value(now.plus(lease).as_millis()))
        .col_expr(Column::RunAt, run_at)
        .col_expr(Column::Claims, Expr::col(Column::Claims).add(1))
        .filter(Column::Id.is_in(ids.iter().copied()))
        .exec(tx)
        .await?;
    Ok(())
}

/// The mails of these rows, and why the others cannot be read. Where one cannot be decoded at all, the rows are read one
/// by one.
async fn read(tx: &DatabaseTransaction, ids: &[Uuid]) -> Result<(Vec<WaitingMail>, Vec<(Uuid, Error)>), Error> {
    let of = |ids: &[Uuid]| mail_outbox::Entity::find().filter(Column::Id.is_in(ids.iter().copied()));
    let mut rows = Vec::new();
    match of(ids).all(tx).await {
        Ok(all) => rows.extend(all.into_iter().map(|row| (row.id, Ok(row)))),
        Err(_) => {
            for id in ids {
                let row = of(std::slice::from_ref(id)).one(tx).await.map_err(Error::from);
                rows.push((*id, row.and_then(|row| row.ok_or(Error::NotFound))));
            }
        }
    }
    let (mut mails, mut unreadable) = (Vec::new(), Vec::new());
    for (id, row) in rows {
        match row.and_then(to_waiting) {
            Ok(waiting) => mails.push(waiting),
            Err(error @ Error::Unavailable(_)) => return Err(error),
            Err(error) => unreadable.push((id, error)),
        }
    }
    Ok((mails, unreadable))
}

async fn close_unreadable(tx: &DatabaseTransaction, rows: &[(Uuid, Error)], now: Timestamp) -> Result<(), Error> {
    if rows.is_empty() {
        return Ok(());
    }
    for (id, error) in rows {
        tracing::error!(mail_id = %id, %error, "An outbox row cannot be read: its mail has failed");
    }
    metrics::counter!("mail_outbox_unreadable_total").increment(rows.len() as u64);
    let ids: Vec<Uuid> = rows.iter().map(|(id, _)| *id).collect();
    super::set_outcome(tx, &ids, MailOutcome::Failed, now).await.map(drop)
}
