//! What can go wrong, sorted by who must act.

use examhall_core::AttemptId;
use sea_orm::{DbErr, RuntimeErr, SqlErr};

/// Why a call on the store did not do what it was asked. Nothing is half-written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The database is away, too slow or too busy. For nobody, while it passes.
    #[error("the database does not answer: {0}")]
    Unavailable(#[source] DbErr),
    /// The URL is none that this store can use. For the operator.
    #[error("DATABASE_URL must begin with sqlite:// or postgres://")]
    BadUrl,
    /// Another version of this program has been there before, and it was a later one. For the operator.
    #[error("the database is newer than this version of the program, which does not know its migration {0}")]
    Newer(String),
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
    /// Another row has this id. For the caller.
    #[error("the id is taken")]
    IdTaken,
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
        match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Self::Unavailable(error),
            DbErr::Query(_) | DbErr::Exec(_) if is_passing(&error) => Self::Unavailable(error),
            other => Self::Database(other),
        }
    }
}

impl Error {
    /// What the server said, where it answered and let nobody in.
    pub fn refusal(&self) -> Option<String> {
        let Self::Unavailable(DbErr::Conn(RuntimeErr::SqlxError(error))) = self else { return None };
        Some(error.as_database_error()?.message().to_owned())
    }

    /// An error of the migrator, which has no kind of its own for a migration that it does not know.
    pub(crate) fn of_migration(error: DbErr) -> Self {
        match &error {
            DbErr::Custom(text) if text.contains("its file is missing") => {
                Self::Newer(text.split('\'').nth(1).unwrap_or_default().to_owned())
            }
            _ => error.into(),
        }
    }

    /// Whether a unique constraint was violated.
    pub(crate) fn is_duplicate(&self) -> bool {
        matches!(self, Self::Database(error) if matches!(error.sql_err(), Some(SqlErr::UniqueConstraintViolation(_))))
    }
}

/// A connection that was lost in mid-statement, a server that shuts down, or a database that stays locked.
fn is_passing(error: &DbErr) -> bool {
    use sea_orm::sqlx::Error as Sqlx;
    let (DbErr::Query(RuntimeErr::SqlxError(error)) | DbErr::Exec(RuntimeErr::SqlxError(error))) = error else {
        return false;
    };
    match &**error {
        Sqlx::Io(_) | Sqlx::Tls(_) | Sqlx::PoolTimedOut | Sqlx::PoolClosed | Sqlx::WorkerCrashed => true,
        // PostgreSQL: class 08 connection exception, 57 operator intervention, 53 insufficient resources.
        // SQLite: 5 busy, 6 locked, 13 full.
        Sqlx::Database(error) => error.code().is_some_and(|code| {
            code.len() == 5 && ["08", "57", "53"].iter().any(|class| code.starts_with(class))
                || ["5", "6", "13"].contains(&code.as_ref())
        }),
        _ => false,
    }
}
