//! Seats: which students may sit an exam that is not open to all. A seat is for an e-mail address, so a roster may name
//! students that have no account yet; a student who has exchanged the exam's code for one keeps it if their address changes.

mod accept;
mod export;
mod fill;
mod follow;
mod invite;
mod row;

use std::collections::HashSet;

use examhall_core::{Admission, EmailAddress, Exam, ExamId, Timestamp, UserId};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, ConnectionTrait, EntityTrait, ExprTrait, PaginatorTrait, QueryFilter, QueryOrder, QuerySelect,
    QueryTrait,
    sea_query::{Expr, LockType, SelectStatement},
};
use serde_json::{Value, json};
use uuid::Uuid;

pub(crate) use self::follow::{Moving, end_seats, move_seats};
use self::row::{insert, to_seat};
pub use self::{
    accept::{Acceptance, Accepted, Invitation},
    invite::{Guest, Guests, Invited, NewInvitation},
};
use crate::{
    Error, Listed, Page,
    audit::{self, Entry},
    db::Db,
    entity::{exam, seat, seat::Column, user},
    exams::row::{lock, to_exam},
};

/// Rows written by one statement.
const CHUNK: usize = 1000;

/// Who may sit which exam.
#[derive(Clone, Debug)]
pub struct Seats {
    db: Db,
}

/// How a student has got a seat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SeatSource {
    /// By the exam's code.
    Code,
    /// By its roster.
    Roster,
}

/// A student on a roster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterEntry {
    /// Their address.
    pub email: EmailAddress,
    /// What their author calls them; may be empty.
    pub name: String,
}

/// A seat of an exam.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seat {
    /// Its row.
    pub id: Uuid,
    /// Whose it is.
    pub entry: RosterEntry,
    /// How they have got it.
    pub source: SeatSource,
    /// Since when.
    pub added_at: Timestamp,
    /// When they were invited.
    pub invited_at: Option<Timestamp>,
}

/// What a change of a roster did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RosterChange {
    /// Students that are new on it.
    pub added: u64,
    /// Students that were on it before.
    pub kept: u64,
    /// Students that are not on it any more.
    pub removed: u64,
}

impl SeatSource {
    const ALL: [Self; 2] = [Self::Code, Self::Roster];

    /// The word used in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Roster => "roster",
        }
    }
}

impl Seats {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// An exam with the PHC string of its code.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn code(&self, exam: ExamId) -> Result<(Exam, Option<String>), Error> {
        let row = exam::Entity::find_by_id(exam.0).one(&self.db.read).await?.ok_or(Error::NotFound)?;
        let code = row.access_code.clone();
        Ok((to_exam(row)?.value, code))
    }

    /// Gives a student a seat that has named the exam's code, of which this is the PHC string. Twice is once. Returns `false`
    /// where the exam has another code by now, or none.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn take(&self, exam: ExamId, student: UserId, code: &str, now: Timestamp) -> Result<bool, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let row = exam::Entity::find_by_id(exam.0).lock(LockType::Share).one(&tx).await?;
                let row = row.ok_or(Error::NotFound)?;
                if row.access != Admission::Code.as_str() || row.access_code.as_deref() != Some(code) {
                    return Ok(false);
                }
                // A deletion of the account, or another address, comes before or after.
                let account = user::Entity::find_by_id(student.0).filter(user::Column::DeletedAt.is_null());
                let account = account.lock(LockType::KeyShare).one(&tx).await?.ok_or(Error::NotFound)?;
                let seat = seat::ActiveModel {
                    id: Set(Uuid::now_v7()),
                    exam_id: Set(exam.0),
                    email_key: Set(account.email_key),
                    email: Set(account.email),
                    name: Set(account.name),
                    user_id: Set(Some(student.0)),
                    source: Set(SeatSource::Code.as_str().to_owned()),
                    added_at: Set(now.as_millis()),
                    invited_at: Set(None),
                };
                insert(&tx, vec![seat]).await?;
                tx.commit().await?;
                Ok(true)
            })
            .await
    }

    /// Whether a student has a seat. Reads an index.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn has(&self, exam: ExamId, student: UserId) -> Result<bool, Error> {
        has(&self.db.read, exam, student).await
    }

    /// Those of these exams in which a student has a seat.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn among(&self, exams: &[ExamId], student: UserId) -> Result<HashSet<ExamId>, Error> {
        let found = seat::Entity::find().filter(is_of(student)).select_only().column(Column::ExamId);
        let found = found.filter(Column::ExamId.is_in(exams.iter().map(|exam| exam.0)));
        let ids: Vec<Uuid> = found.into_tuple().all(&self.db.read).await?;
        Ok(ids.into_iter().map(ExamId).collect())
    }

    /// Takes a seat away. An attempt that its student has begun goes on. Returns whether there was one.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::Unavailable`].
    pub async fn remove(&self, exam: ExamId, email: &EmailAddress, by: UserId, now: Timestamp) -> Result<bool, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                lock(&tx, exam, None).await?;
                let of_address = Column::ExamId.eq(exam.0).and(Column::EmailKey.eq(email.canonical()));
                if seat::Entity::delete_many().filter(of_address).exec(&tx).await?.rows_affected == 0 {
                    return Ok(false);
                }
                let before = json!({"email": email.as_str()});
                let entry = Entry::of_exam(by, "remove seat", exam).changing(before, Value::Null);
                audit::write(&tx, entry, now).await?;
                tx.commit().await?;
                Ok(true)
            })
            .await
    }

    /// The seats of an exam, in the order in which they were added.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(&self, exam: ExamId, page: Page) -> Result<Listed<Seat>, Error> {
        let mut found =
            seat::Entity::find().filter(Column::ExamId.eq(exam.0)).order_by_asc(Column::Id).limit(page.fetch());
        if let Some(after) = page.after {
            found = found.filter(Column::Id.gt(after));
        }
        let seats = found.all(&self.db.read).await?.into_iter().map(to_seat).collect();
        Ok(page.cut(seats, |seat: &Seat| seat.id))
    }
}

/// Whether a student has a seat.
pub(crate) async fn has(db: &impl ConnectionTrait, exam: ExamId, student: UserId) -> Result<bool, Error> {
    let seats = seat::Entity::find().filter(Column::ExamId.eq(exam.0).and(is_of(student)));
    Ok(seats.limit(1).count(db).await? > 0)
}

/// The exams in which a student has a seat.
pub(crate) fn exams_of(student: UserId) -> SelectStatement {
    seat::Entity::find().filter(is_of(student)).select_only().column(Column::ExamId).into_query()
}

fn is_of(student: UserId) -> Expr {
    let own = user::Entity::find_by_id(student.0).select_only().column(user::Column::EmailKey).into_query();
    Column::UserId.eq(student.0).or(Column::EmailKey.in_subquery(own))
}
