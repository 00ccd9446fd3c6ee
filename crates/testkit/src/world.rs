//! Everything one test needs.

use std::path::Path;

use tempfile::TempDir;

use crate::{Postgres, Process, Redis, RedisOptions, SmtpServer};

/// Which database a test runs on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file of its own.
    Sqlite,
    /// A server of its own.
    Postgres,
}

/// A Redis, a database and an SMTP server that belong to one test and end with it.
pub struct World {
    /// Its Redis.
    pub redis: Redis,
    /// Its PostgreSQL, where the test runs on that.
    pub postgres: Option<Postgres>,
    /// Where its mails go.
    pub smtp: SmtpServer,
    folder: TempDir,
    extra: Vec<(String, String)>,
}

impl World {
    /// Starts one with SQLite and a Redis that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(Database::Sqlite, RedisOptions::default()).await
    }

    /// Starts one.
    pub async fn start_with(database: Database, redis: RedisOptions) -> Self {
        let postgres = match database {
            Database::Sqlite => None,
            Database::Postgres => Some(Postgres::start().await),
        };
        Self {
            redis: Redis::start_with(redis).await,
            postgres,
            smtp: SmtpServer::start().await,
            folder: tempfile::tempdir().expect("a temporary folder"),
            extra: Vec::new(),
        }
    }

    /// From now on [`settings`](Self::settings) give this too.
    pub fn set(&mut self, name: &str, value: &str) {
        self.extra.push((name.to_owned(), value.to_owned()));
    }

    /// A folder of its own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Where its database is.
    pub fn database_url(&self) -> String {
        self.postgres.as_ref().map_or_else(
            || format!("sqlite://{}?mode=rwc", self.folder.path().join("examhall.db").display()),
            Postgres::url,
        )
    }

    /// The settings under which `api` and `mailer` run in this world: every port is the system's choice, and a job of
    /// a vanished worker is looked for after 1 s.
    pub fn settings(&self) -> Vec<(String, String)> {
        let own = [
            ("REDIS_URL", self.redis.url()),
            ("DATABASE_URL", self.database_url()),
            ("SMTP_URL", self.smtp.url()),
            ("API_BIND", "127.0.0.1:0".to_owned()),
            ("API_OPS_BIND", "127.0.0.1:0".to_owned()),
            ("MAILER_OPS_BIND", "127.0.0.1:0".to_owned()),
            ("AUTH_SECRET", "a-secret-of-this-test-and-no-other".to_owned()),
            ("QUEUE_LOCK_MS", "1000".to_owned()),
            ("QUEUE_STALLED_INTERVAL_MS", "1000".to_owned()),
            ("LOG_FORMAT", "json".to_owned()),
        ];
        own.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(self.extra.iter().cloned()).collect()
    }

    /// Starts `api` as a child process.
    pub fn api(&self) -> Process {
        Process::spawn_binary("api", &[], self.settings())
    }

    /// Starts `mailer` as a child process with these arguments.
    pub fn mailer(&self, args: &[&str]) -> Process {
        Process::spawn_binary("mailer", args, self.settings())
    }
}
