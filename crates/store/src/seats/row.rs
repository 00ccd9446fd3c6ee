//! A seat and its row.

use examhall_core::{EmailAddress, ExamId, Timestamp};
use sea_orm::{ActiveValue::Set, DatabaseTransaction, EntityTrait, sea_query::OnConflict};
use uuid::Uuid;

use super::{RosterEntry, Seat, SeatSource};
use crate::{
    Error,
    entity::seat::{self, Column},
};

/// Adds seats, other than for addresses that have one.
pub(super) async fn insert(tx: &DatabaseTransaction, seats: Vec<seat::ActiveModel>) -> Result<(), Error> {
    let mut taken = OnConflict::columns([Column::ExamId, Column::EmailKey]);
    taken.do_nothing();
    seat::Entity::insert_many(seats).on_conflict(taken).exec_without_returning(tx).await?;
    Ok(())
}

/// Gives the seats of these addresses the names of the rows.
pub(super) async fn rename(tx: &DatabaseTransaction, seats: Vec<seat::ActiveModel>) -> Result<(), Error> {
    let mut taken = OnConflict::columns([Column::ExamId, Column::EmailKey]);
    taken.update_column(Column::Name);
    seat::Entity::insert_many(seats).on_conflict(taken).exec_without_returning(tx).await?;
    Ok(())
}

/// The row of a student on a roster.
pub(super) fn to_row(exam: ExamId, entry: &RosterEntry, key: String, now: Timestamp) -> seat::ActiveModel {
    seat::ActiveModel {
        id: Set(Uuid::now_v7()),
        exam_id: Set(exam.0),
        email_key: Set(key),
        email: Set(entry.email.as_str().to_owned()),
        name: Set(entry.name.clone()),
        user_id: Set(None),
        source: Set(SeatSource::Roster.as_str().to_owned()),
        added_at: Set(now.as_millis()),
        invited_at: Set(None),
    }
}

pub(super) fn to_seat(row: seat::Model) -> Seat {
    let source = SeatSource::ALL.into_iter().find(|source| source.as_str() == row.source);
    Seat {
        id: row.id,
        entry: RosterEntry { email: EmailAddress::from_stored(row.email), name: row.name },
        source: source.unwrap_or(SeatSource::Roster),
        added_at: Timestamp::from_millis(row.added_at),
        invited_at: row.invited_at.map(Timestamp::from_millis),
    }
}
