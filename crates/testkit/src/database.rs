//! A database, of either kind.

use tempfile::TempDir;
use tokio::process::Command;

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

/// Python's sqlite3, as psql prints: a line for each row, with a bar between columns.
const SQLITE: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=60, isolation_level=None)
db.execute('PRAGMA foreign_keys = ON')
for row in db.execute(sys.argv[2]):
    print('|'.join('' if value is None else str(value) for value in row))
";

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

    /// Runs a statement behind the program's back, as an operator would; returns what it prints, a line for each row.
    pub async fn sql(&self, statement: &str) -> String {
        let mut command = match self {
            Self::Sqlite(folder) => {
                let mut python = Command::new("python3");
                python.args(["-c", SQLITE]).arg(folder.path().join("examhall.db")).arg(statement);
                python
            }
            Self::Postgres(server) => {
                let mut psql = Command::new("psql");
                psql.args([server.url().as_str(), "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement]);
                psql
            }
        };
        let output = command.output().await.expect("python3 and psql are installed");
        assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// The server; fails the test where it runs on SQLite.
    pub fn server(&mut self) -> &mut Postgres {
        match self {
            Self::Sqlite(_) => panic!("this test needs a database server: start its world with DatabaseKind::Postgres"),
            Self::Postgres(server) => server,
        }
    }
}
