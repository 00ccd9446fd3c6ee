//! An exam and its row.

use examhall_core::{Exam, ExamId, Patch, Timestamp, UserId};
use sea_orm::{
    ActiveValue::{self, Set},
    DatabaseTransaction, EntityTrait, QuerySelect,
    sea_query::LockType,
};

use super::ExamChange;
use crate::{Error, Versioned, entity::exam};

/// Puts what a change names into the row.
pub(super) fn apply(row: &mut exam::ActiveModel, change: &ExamChange) {
    if let Some(title) = &change.title {
        row.title = Set(title.clone());
    }
    if let Some(description) = &change.description {
        row.description = Set(description.clone());
    }
    if let Some(minutes) = change.duration_minutes {
        row.duration_minutes = Set(to_i32(minutes));
    }
    if let Some(attempts) = change.max_attempts {
        row.max_attempts = Set(to_i32(attempts));
    }
    if let Some(percent) = change.pass_mark {
        row.pass_mark = Set(i32::from(percent));
    }
    patch(&mut row.opens_at, change.opens_at);
    patch(&mut row.closes_at, change.closes_at);
    if let Some(shuffle) = change.shuffle {
        row.shuffle = Set(shuffle);
    }
}

fn patch(column: &mut ActiveValue<Option<i64>>, change: Patch<Timestamp>) {
    match change {
        Patch::Keep => {}
        Patch::Clear => *column = Set(None),
        Patch::Set(moment) => *column = Set(Some(moment.as_millis())),
    }
}

/// Numbers out of range are taken as the nearest ones in it.
pub(crate) fn to_exam(row: exam::Model) -> Result<Versioned<Exam>, Error> {
    let value = Exam {
        id: ExamId(row.id),
        author_id: UserId(row.author_id),
        title: row.title,
        description: row.description,
        duration_minutes: row.duration_minutes.max(0).unsigned_abs(),
        max_attempts: row.max_attempts.max(0).unsigned_abs(),
        pass_mark: u8::try_from(row.pass_mark.clamp(0, 100)).unwrap_or(100),
        opens_at: row.opens_at.map(Timestamp::from_millis),
        closes_at: row.closes_at.map(Timestamp::from_millis),
        shuffle: row.shuffle,
        status: row.status.parse().map_err(|_| Error::Corrupt { table: "exams", column: "status" })?,
        created_at: Timestamp::from_millis(row.created_at),
        updated_at: Timestamp::from_millis(row.updated_at),
    };
    Ok(Versioned { version: row.version, value })
}

pub(super) fn to_i32(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// Reads an exam so that nobody else changes it before the transaction ends; checks the version that was expected.
pub(crate) async fn lock(tx: &DatabaseTransaction, id: ExamId, expected: Option<i64>) -> Result<exam::Model, Error> {
    let row = exam::Entity::find_by_id(id.0).lock(LockType::Update).one(tx).await?.ok_or(Error::NotFound)?;
    match expected {
        Some(expected) if expected != row.version => Err(Error::VersionMismatch { current: row.version }),
        _ => Ok(row),
    }
}
