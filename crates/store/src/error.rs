//! What can go wrong, sorted by who must act.

use examhall_core::{Admission, AttemptId};
use sea_orm::{DbErr, RuntimeErr, SqlErr};

use crate::fault::Fault;

/// Why a call on the store did not do what it was asked. Nothing is half-written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, read-only, too slow or too busy. For nobody, while it passes.
    #[error("the database does not answer: {0}")]
    Unavailable(#[source] DbErr),
    /// The database answers and takes no writes: a standby, or a primary in a fail-over. For nobody, while it passes.
    #[error("the database is read-only")]
    ReadOnly,
    /// The URL is none that this store can use. For the operator.
    #[error("DATABASE_URL must begin with sqlite:// or postgres://")]
    BadUrl,
    /// A later version of this program has changed the tables so that this one cannot use them, or not take it back. For
    /// the operator.
    #[error(
        "the database is newer than this version of the program, which does not know its migration {0}: use the version \
         that applied it, or a later one; it can take it back with `api migrate --to`"
    )]
    Newer(String),
    /// No migration has this name. For the operator.
    #[error("there is no migration {0}: `api migrate --status` lists them all")]
    UnknownStep(String),
    /// Another process migrates, and does not come to an end. For the operator.
    #[error("another process has been migrating the database for 10 minutes")]
    MigrationHeld,
    /// The folder of the database file cannot be made. For the operator.
    #[error("the folder of the database file: {0}")]
    Folder(#[source] std::io::Error),
    /// Somebody has this e-mail address. For the caller.
    #[error("the e-mail address is taken")]
    EmailTaken,
    /// There is nothing of that id. For the caller.
    #[error("not found")]
    NotFound,
    /// It was changed since the caller read it. For the caller.
    #[error("it is now at version {current}")]
    VersionMismatch {
        /// The version it has.
        current: i64,
    },
    /// What is asked does not fit how far things have come; the text says why. For the caller.
    #[error("{0}")]
    WrongState(&'static str),
    /// The exam is not open. For the caller.
    #[error("the exam is not open")]
    NotOpen,
    /// The student has an open attempt. For the caller.
    #[error("another attempt is open")]
    AttemptOpen(AttemptId),
    /// Students have begun the exam. For the caller.
    #[error("students have begun this exam: its questions are locked")]
    QuestionsLocked,
    /// Students have begun the exam, and the change would be at their cost. For the caller.
    #[error("students have begun this exam: pass mark, order and a shorter duration are locked")]
    ExamLocked,
    /// The end of an exam's window is not after its beginning. For the caller.
    #[error("closesAt must be after opensAt")]
    BadWindow,
    /// An exam that is sat with a code has none. For the caller.
    #[error("an exam that is sat with a code needs one")]
    NoCode,
    /// The student may not sit the exam, or not yet. For the caller.
    #[error("the student has no seat")]
    NoSeat(Admission),
    /// Another row has this id. For the caller.
    #[error("the id is taken")]
    IdTaken,
    /// The idempotency key was used for another request. For the caller.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// A row holds what it cannot hold. For the developers.
    #[error("{table} holds a bad {column}")]
    Corrupt {
        /// Where.
        table: &'static str,
        /// What.
        column: &'static str,
    },
    /// A statement failed. For the developers.
    #[error(transparent)]
    Database(DbErr),
}

impl From<DbErr> for Error {
    fn from(error: DbErr) -> Self {
        if Fault::of(&error).is_some() { Self::Unavailable(error) } else { Self::Database(error) }
    }
}

impl Error {
    /// What the server said, where it answered and let nobody in.
    pub fn refusal(&self) -> Option<String> {
        let Self::Unavailable(DbErr::Conn(RuntimeErr::SqlxError(error))) = self else { return None };
        Some(error.as_database_error()?.message().to_owned())
    }

    /// Whether the database is away for a time: nobody listens, or it starts, stops or is full. It may also refuse for good,
    /// a password for example, or be used wrongly.
    pub fn is_outage(&self) -> bool {
        let Self::Unavailable(error) = self else { return matches!(self, Self::ReadOnly) };
        let DbErr::Conn(RuntimeErr::SqlxError(error)) = error else { return true };
        // Connection exceptions, too few resources, an operator's intervention (PostgreSQL, appendix A).
        error.as_database_error().is_none_or(|refusal| {
            refusal.code().is_some_and(|code| ["08", "53", "57"].iter().any(|class| code.starts_with(class)))
        })
    }

    /// Whether a unique constraint was violated.
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
    }
}
