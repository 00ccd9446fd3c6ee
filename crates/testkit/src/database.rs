//! A database, of either kind.

use tempfile::TempDir;

use crate::Postgres;

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseKind {
    /// A file of its own.
    Sqlite,
    /// A server of its own.
    Postgres,
}

impl DatabaseKind {
    /// What tests run on that mean neither in particular: `EXAMHALL_TEST_DATABASE`, `sqlite` or `postgres`; else SQLite.
    pub fn usual() -> Self {
        match std::env::var("EXAMHALL_TEST_DATABASE").as_deref() {
            Err(_) | Ok("sqlite") => Self::Sqlite,
            Ok("postgres") => Self::Postgres,
            Ok(other) => panic!("EXAMHALL_TEST_DATABASE must be sqlite or postgres, not {other:?}"),
        }
    }
}

/// An empty database that belongs to one test and ends with it.
pub enum Database {
    /// A file in this folder.
    Sqlite(TempDir),
    /// A server.
    Postgres(Box<Postgres>),
}

impl Database {
    /// Makes one.
    pub async fn start(kind: DatabaseKind) -> Self {
        match kind {
            DatabaseKind::Sqlite => Self::Sqlite(tempfile::tempdir().expect("a temporary folder")),
            DatabaseKind::Postgres => Self::Postgres(Box::new(Postgres::start().await)),
        }
    }

    /// As a value of `DATABASE_URL`.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(folder) => format!("sqlite://{}?mode=rwc", folder.path().join("examhall.db").display()),
            Self::Postgres(server) => server.url(),
        }
    }

    /// The server; fails the test where it runs on SQLite.
    pub fn server(&mut self) -> &mut Postgres {
        match self {
            Self::Sqlite(_) => panic!("this test needs a database server: start its world with DatabaseKind::Postgres"),
            Self::Postgres(server) => server,
        }
    }
}
