//! An exam and its row.

use examhall_core::{Admission, Exam, ExamId, PaperPolicy, Patch, ResultPolicy, Timestamp, UserId};
use sea_orm::{
    ActiveValue::{self, Set},
    ColumnTrait, DatabaseTransaction, EntityTrait, PaginatorTrait, QueryFilter, QuerySelect,
    sea_query::LockType,
};

use crate::{
    Error, Versioned,
    entity::{attempt, exam},
};

/// What to change of an exam; what is `None` stays as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExamChange {
    /// Title.
    pub title: Option<String>,
    /// What it is about.
    pub description: Option<String>,
    /// Time that a student has, in minutes.
    pub duration_minutes: Option<u32>,
    /// How often a student may sit it.
    pub max_attempts: Option<u32>,
    /// Percentage of the points from which it is passed.
    pub pass_mark: Option<u8>,
    /// From then on students may start.
    pub opens_at: Patch<Timestamp>,
    /// From then on nobody may start.
    pub closes_at: Patch<Timestamp>,
    /// Whether each attempt has an order of its own.
    pub shuffle: Option<bool>,
    /// When students may read the questions.
    pub paper: Option<PaperPolicy>,
    /// When students see their results; cleared, it is that of the number of attempts.
    pub results: Patch<ResultPolicy>,
    /// Whether students see the points of each question with their result.
    pub show_marks: Option<bool>,
    /// Whether students may read the questions again once they see their result.
    pub review: Option<bool>,
    /// Which students may sit it.
    pub access: Option<Admission>,
    /// PHC string of its code.
    pub access_code: Option<String>,
}

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
    if let Some(paper) = change.paper {
        row.paper = Set(paper.as_str().to_owned());
    }
    match change.results {
        Patch::Keep => {}
        Patch::Clear => row.results = Set(None),
        Patch::Set(results) => row.results = Set(Some(results.as_str().to_owned())),
    }
    if let Some(show_marks) = change.show_marks {
        row.show_marks = Set(show_marks);
    }
    if let Some(review) = change.review {
        row.review = Set(review);
    }
    if let Some(access) = change.access {
        row.access = Set(access.as_str().to_owned());
    }
    if let Some(code) = &change.access_code {
        row.access_code = Set(Some(code.clone()));
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
    let corrupt = |column| Error::Corrupt { table: "exams", column };
    let max_attempts = row.max_attempts.max(0).unsigned_abs();
    let value = Exam {
        id: ExamId(row.id),
        author_id: UserId(row.author_id),
        title: row.title,
        description: row.description,
        duration_minutes: row.duration_minutes.max(0).unsigned_abs(),
        max_attempts,
        pass_mark: u8::try_from(row.pass_mark.clamp(0, 100)).unwrap_or(100),
        opens_at: row.opens_at.map(Timestamp::from_millis),
        closes_at: row.closes_at.map(Timestamp::from_millis),
        shuffle: row.shuffle,
        paper: PaperPolicy::from_word(&row.paper).ok_or_else(|| corrupt("paper"))?,
        results: match row.results.as_deref() {
            None => ResultPolicy::usual(max_attempts),
            Some(word) => ResultPolicy::from_word(word).ok_or_else(|| corrupt("results"))?,
        },
        show_marks: row.show_marks,
        review: row.review,
        access: Admission::from_word(&row.access).ok_or_else(|| corrupt("access"))?,
        results_published_at: row.results_published_at.map(Timestamp::from_millis),
        status: row.status.parse().map_err(|_| corrupt("status"))?,
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

/// Whether a student has begun an attempt at the exam.
pub(crate) async fn is_begun(tx: &DatabaseTransaction, id: ExamId) -> Result<bool, Error> {
    Ok(attempt::Entity::find().filter(attempt::Column::ExamId.eq(id.0)).limit(1).count(tx).await? > 0)
}
