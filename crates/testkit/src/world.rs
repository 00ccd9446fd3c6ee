//! Everything one test needs.

use crate::{Database, DatabaseKind, Process, Redis, RedisOptions, SmtpServer};

/// A Redis, a database and an SMTP server that belong to one test and end with it.
pub struct World {
    /// Its Redis.
    pub redis: Redis,
    /// Its database.
    pub database: Database,
    /// Where its mails go.
    pub smtp: SmtpServer,
    extra: Vec<(String, String)>,
}

impl World {
    /// Starts one with the usual database and a Redis that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(DatabaseKind::usual(), RedisOptions::default()).await
    }

    /// Starts one.
    pub async fn start_with(database: DatabaseKind, redis: RedisOptions) -> Self {
        Self {
            redis: Redis::start_with(redis).await,
            database: Database::start(database).await,
            smtp: SmtpServer::start().await,
            extra: Vec::new(),
        }
    }

    /// From now on [`settings`](Self::settings) give this too.
    pub fn set(&mut self, name: &str, value: &str) {
        self.extra.push((name.to_owned(), value.to_owned()));
    }

    /// The settings under which `api` and `mailer` run in this world: every port is the system's choice, and a
    /// worker may be without time for some seconds before its jobs are another's.
    pub fn settings(&self) -> Vec<(String, String)> {
        let own = [
            ("REDIS_URL", self.redis.url()),
            ("DATABASE_URL", self.database.url()),
            ("SMTP_URL", self.smtp.url()),
            ("API_BIND", "127.0.0.1:0".to_owned()),
            ("API_OPS_BIND", "127.0.0.1:0".to_owned()),
            ("MAILER_OPS_BIND", "127.0.0.1:0".to_owned()),
            ("AUTH_SECRET", "a-secret-of-this-test-and-no-other".to_owned()),
            ("QUEUE_LOCK_MS", "4000".to_owned()),
            ("QUEUE_STALLED_INTERVAL_MS", "4000".to_owned()),
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
