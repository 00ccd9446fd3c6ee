//! Invitations by mail to those on a roster: seats, tokens and mails in one transaction.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use examhall_core::{EmailAddress, Exam, ExamId, ExamStatus, Locale, Timestamp, UserId};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, DatabaseTransaction, EntityTrait, ExprTrait, QueryFilter, QueryOrder, QuerySelect,
    sea_query::{Expr, LockType},
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{CHUNK, RosterEntry, SeatSource, Seats};
use crate::{
    Error, NewMail,
    audit::{self, Entry},
    entity::{exam, invitation, mail_outbox, seat, seat::Column, user},
    exams::row::to_exam,
    outbox,
};

/// Asked again sooner than that, an invitation is not sent again.
const PAUSE: Duration = Duration::from_mins(1);

/// Whom an author invites.
#[derive(Clone, Copy, Debug)]
pub enum Guests<'a> {
    /// All on the roster that were not invited yet.
    Rest,
    /// Those with these addresses, also if they were invited before, other than within the last minute.
    These(&'a [EmailAddress]),
}

/// Somebody who is to be invited.
#[derive(Clone, Debug)]
pub struct Guest {
    /// As the roster names them.
    pub entry: RosterEntry,
    /// Language of their account's mails, where they have an account that says so.
    pub locale: Option<Locale>,
}

/// An invitation to be kept and mailed.
#[derive(Clone, Debug)]
pub struct NewInvitation {
    /// SHA-256 of the token in the mail.
    pub hash: [u8; 32],
    /// Until when the token is good.
    pub expires_at: Timestamp,
    /// The mail.
    pub mail: NewMail,
}

/// What became of a request for invitations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invited {
    /// That many mails were committed.
    Queued(u64),
    /// These addresses, by their place among those that were named, have no seat: nobody was invited.
    Unknown(Vec<usize>),
}

impl Seats {
    /// Invites students to a published exam: keeps what `make` returns for each, and notes when they were invited. All of
    /// them or none; of two requests at once, one invites each student.
    ///
    /// # Errors
    /// [`Error::NotFound`]; [`Error::WrongState`] where the exam is not published or over; [`Error::Unavailable`].
    pub async fn invite(
        &self,
        exam: ExamId,
        guests: Guests<'_>,
        make: impl Fn(&Exam, Guest) -> NewInvitation + Send + Sync,
        by: UserId,
        now: Timestamp,
    ) -> Result<Invited, Error> {
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let exam = invitable(&tx, exam, now).await?;
                let seats = match guests {
                    Guests::Rest => uninvited(&tx, exam.id).await?,
                    Guests::These(emails) => match named(&tx, exam.id, emails, now).await? {
                        Ok(seats) => seats,
                        Err(unknown) => return Ok(Invited::Unknown(unknown)),
                    },
                };
                if seats.is_empty() {
                    return Ok(Invited::Queued(0));
                }
                for seats in seats.chunks(CHUNK) {
                    keep(&tx, &exam, seats, &make, now).await?;
                }
                let queued = seats.len() as u64;
                let entry = Entry::of_exam(by, "invite students", exam.id).affecting(queued);
                audit::write(&tx, entry.changing(Value::Null, json!({"invited": queued})), now).await?;
                tx.commit().await?;
                Ok(Invited::Queued(queued))
            })
            .await
    }
}

/// The exam, which nobody changes meanwhile.
async fn invitable(tx: &DatabaseTransaction, exam: ExamId, now: Timestamp) -> Result<Exam, Error> {
    let row = exam::Entity::find_by_id(exam.0).lock(LockType::Share).one(tx).await?.ok_or(Error::NotFound)?;
    let exam = to_exam(row)?.value;
    if exam.status != ExamStatus::Published {
        return Err(Error::WrongState("students are invited to published exams: publish it first, or reopen it"));
    }
    if exam.closes_at.is_some_and(|closes_at| closes_at <= now) {
        return Err(Error::WrongState("the exam is over: nobody can be invited to it"));
    }
    Ok(exam)
}

/// The lock comes before the condition is read: who waits for it finds those that were invited meanwhile invited.
async fn uninvited(tx: &DatabaseTransaction, exam: ExamId) -> Result<Vec<seat::Model>, Error> {
    let is_new = Column::Source.eq(SeatSource::Roster.as_str()).and(Column::InvitedAt.is_null());
    let found = seat::Entity::find().filter(Column::ExamId.eq(exam.0).and(is_new)).order_by_asc(Column::Id);
    Ok(found.lock(LockType::NoKeyUpdate).all(tx).await?)
}

/// The seats of these addresses other than those just invited, or the places of addresses that have none.
async fn named(
    tx: &DatabaseTransaction,
    exam: ExamId,
    emails: &[EmailAddress],
    now: Timestamp,
) -> Result<Result<Vec<seat::Model>, Vec<usize>>, Error> {
    let keys: Vec<String> = emails.iter().map(EmailAddress::canonical).collect();
    let mut seats = Vec::new();
    for keys in keys.chunks(CHUNK) {
        let these = Column::ExamId.eq(exam.0).and(Column::EmailKey.is_in(keys));
        seats.extend(seat::Entity::find().filter(these).all(tx).await?);
    }
    let known: HashSet<_> = seats.iter().map(|seat| seat.email_key.as_str()).collect();
    let unknown: Vec<_> = (0..keys.len()).filter(|n| !known.contains(keys[*n].as_str())).collect();
    if !unknown.is_empty() {
        return Ok(Err(unknown));
    }
    // In one order, whatever the order of the request: two requests do not wait for each other.
    let ids: HashSet<Uuid> = seats.iter().map(|seat| seat.id).collect();
    let mut ids: Vec<_> = ids.into_iter().collect();
    ids.sort_unstable();
    let before = now.minus(PAUSE).as_millis();
    let is_due = || Column::InvitedAt.is_null().or(Column::InvitedAt.lte(before));
    let mut due = Vec::new();
    for ids in ids.chunks(CHUNK) {
        let these = seat::Entity::find().filter(Column::Id.is_in(ids.iter().copied()).and(is_due()));
        due.extend(these.order_by_asc(Column::Id).lock(LockType::NoKeyUpdate).all(tx).await?);
    }
    Ok(Ok(due))
}

async fn keep(
    tx: &DatabaseTransaction,
    exam: &Exam,
    seats: &[seat::Model],
    make: impl Fn(&Exam, Guest) -> NewInvitation,
    now: Timestamp,
) -> Result<(), Error> {
    let keys = seats.iter().map(|seat| seat.email_key.as_str());
    let accounts = user::Entity::find().filter(user::Column::EmailKey.is_in(keys)).select_only();
    let accounts = accounts.columns([user::Column::EmailKey, user::Column::Locale]);
    let locales: Vec<(String, Option<String>)> = accounts.into_tuple().all(tx).await?;
    let locales: HashMap<_, _> = locales.into_iter().collect();
    let (mut tokens, mut mails) = (Vec::new(), Vec::new());
    for seat in seats {
        let locale = locales.get(&seat.email_key).cloned().flatten().and_then(|tag| Locale::parse(&tag).ok());
        let entry = RosterEntry { email: EmailAddress::from_stored(seat.email.as_str()), name: seat.name.clone() };
        let NewInvitation { hash, expires_at, mail } = make(exam, Guest { entry, locale });
        tokens.push(invitation::ActiveModel {
            hash: Set(hash.to_vec()),
            seat_id: Set(seat.id),
            email_key: Set(seat.email_key.clone()),
            created_at: Set(now.as_millis()),
            expires_at: Set(expires_at.as_millis()),
            used_at: Set(None),
        });
        mails.push(outbox::to_row(&mail, now));
    }
    invitation::Entity::insert_many(tokens).exec_without_returning(tx).await?;
    mail_outbox::Entity::insert_many(mails).exec_without_returning(tx).await?;
    seat::Entity::update_many()
        .col_expr(Column::InvitedAt, Expr::value(now.as_millis()))
        .filter(Column::Id.is_in(seats.iter().map(|seat| seat.id)))
        .exec(tx)
        .await?;
    Ok(())
}
