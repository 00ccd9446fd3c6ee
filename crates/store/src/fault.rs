//! Classification of database errors: what may be tried again, and which connections must not be used again.

use sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{Error as Sqlx, error::DatabaseError, postgres::PgDatabaseError},
};

/// Kind of a database error that passes by itself. Any other error is a mistake in a statement or in the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Deadlock or serialization failure: the server has rolled back, and the same work may succeed at once.
    Conflict,
    /// The statement had no effect because the server of this connection is read-only (a standby, or a primary in a
    /// fail-over). Another connection may do better.
    Stale,
    /// The statement had no effect because one that was prepared before is out of date. A new connection has none.
    Outdated,
    /// The connection is lost, or its server shuts down. Whether a commit has happened is unknown.
    Lost,
    /// Others hold a lock for longer than a statement waits for it.
    Locked,
    /// The server is too busy, full, or too slow; or a connection was not to be had in time.
    Busy,
}

impl Fault {
    /// Classifies an error; `None` if it does not pass by itself.
    pub(crate) fn of(error: &DbErr) -> Option<Self> {
        match error {
            DbErr::ConnectionAcquire(_) | DbErr::Conn(_) => Some(Self::Busy),
            DbErr::Query(RuntimeErr::SqlxError(error)) | DbErr::Exec(RuntimeErr::SqlxError(error)) => {
                Self::of_sqlx(error)
            }
            _ => None,
        }
    }

    /// Returns whether a transaction that met it has certainly not been committed and may succeed if it is run again.
    pub(crate) const fn is_worth_a_retry(self) -> bool {
        matches!(self, Self::Conflict | Self::Stale | Self::Outdated)
    }

    /// Returns whether connections as old as the one that met it must not be used again.
    pub(crate) const fn spoils_connections(self) -> bool {
        matches!(self, Self::Stale | Self::Outdated | Self::Lost)
    }

    fn of_sqlx(error: &Sqlx) -> Option<Self> {
        match error {
            Sqlx::Io(_) | Sqlx::Tls(_) | Sqlx::Protocol(_) | Sqlx::WorkerCrashed => Some(Self::Lost),
            Sqlx::PoolTimedOut | Sqlx::PoolClosed => Some(Self::Busy),
            Sqlx::Database(error) => match error.try_downcast_ref::<PgDatabaseError>() {
                Some(error) => Self::of_postgres(error.code(), error.routine()),
                None => Self::of_sqlite(&**error),
            },
            _ => None,
        }
    }

    /// By SQLSTATE (PostgreSQL, appendix A).
    fn of_postgres(code: &str, routine: Option<&str>) -> Option<Self> {
        match code {
            "40001" | "40P01" => Some(Self::Conflict),
            "25006" => Some(Self::Stale), // read-only transaction
            // Prepared statement that is unknown or known twice (a pooler or DISCARD ALL).
            "26000" | "42P05" => Some(Self::Outdated),
            // "cached plan must not change result type": the only feature_not_supported that passes. Its text is
            // translated, its routine is not.
            "0A000" if routine == Some("RevalidateCachedQuery") => Some(Self::Outdated),
            // Shutdown, crash, start-up, dropped database, idle session; idle or overlong transaction.
            "57P01" | "57P02" | "57P03" | "57P04" | "57P05" | "25P03" | "25P04" => Some(Self::Lost),
            _ if code.starts_with("08") => Some(Self::Lost),
            // Lock not available, object in use.
            "55P03" | "55006" => Some(Self::Locked),
            // Cancelled by a timeout, out of resources, system error, other rollbacks.
            _ if ["40", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => Some(Self::Busy),
            _ => None,
        }
    }

    /// By primary result code; sqlx gives the extended one, whose low byte it is.
    fn of_sqlite(error: &dyn DatabaseError) -> Option<Self> {
        let code: u32 = error.code()?.parse().ok()?;
        match code & 0xff {
            8 => Some(Self::Stale),           // SQLITE_READONLY
            10 | 14 => Some(Self::Lost),      // SQLITE_IOERR, SQLITE_CANTOPEN
            5 | 6 | 15 => Some(Self::Locked), // SQLITE_BUSY, SQLITE_LOCKED, SQLITE_PROTOCOL (a race for the lock)
            7 | 9 | 13 => Some(Self::Busy),   // SQLITE_NOMEM, SQLITE_INTERRUPT, SQLITE_FULL
            _ => None,
        }
    }
}
