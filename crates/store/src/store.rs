//! The store as a whole: how it is opened, asked for its health and closed.

use std::{sync::Arc, time::Duration};

use examhall_core::Timestamp;
use sea_orm::{ConnectionTrait, DbBackend, DbErr, Statement};

use crate::{
    Accounts, Attempts, Audit, CommitHook, Error, Exams, FirstAnswer, IdempotentRequest, Invalidations, Outbox,
    Questions, Regrades, Results, Seats,
    connect::{Connector, is_postgres, make_file_of},
    db::Db,
    pool::Reader,
};

/// How long after connections were replaced an SQLite file is asked whether it can be written.
const SUSPICION: Duration = Duration::from_mins(1);

/// The database. Cheap to clone; clones share its connections.
#[derive(Clone, Debug)]
pub struct Store {
    /// Users, mail tokens, sessions.
    pub accounts: Accounts,
    /// Exams.
    pub exams: Exams,
    /// Their questions.
    pub questions: Questions,
    /// Students' sittings of exams.
    pub attempts: Attempts,
    /// What came of them.
    pub results: Results,
    /// Grading them again.
    pub regrades: Regrades,
    /// Who may sit which exam.
    pub seats: Seats,
    /// Cache keys that commits make wrong.
    pub invalidations: Invalidations,
    /// Mails that wait to be queued.
    pub outbox: Outbox,
    /// What operators did.
    pub audit: Audit,
    pub(crate) db: Db,
    /// For heartbeats: it does not wait for a connection behind the others.
    pub(crate) probe: Reader,
}

impl Store {
    /// Connections of a process whose number is not set.
    pub const DEFAULT_CONNECTIONS: u32 = 16;

    /// Connects to `sqlite://FILE?mode=rwc` (the file's folder is made) or `postgres://...`.
    ///
    /// # Errors
    /// [`Error::BadUrl`], [`Error::Folder`], or [`Error::Unavailable`] where the database does not answer.
    pub async fn connect(url: &str) -> Result<Self, Error> {
        Self::connect_with(url, Self::DEFAULT_CONNECTIONS).await
    }

    /// As [`connect`](Self::connect), with at most `connections` for requests and one for the readiness probe. For SQLite
    /// they read, and there is one more that writes.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub async fn connect_with(url: &str, connections: u32) -> Result<Self, Error> {
        let is_postgres = is_postgres(url);
        if url.starts_with("sqlite://") {
            make_file_of(url).map_err(Error::Folder)?;
        } else if !is_postgres {
            return Err(Error::BadUrl);
        }
        let connector = Connector::of(url).await;
        let read = connector.connect(url, connections).await?;
        // SQLite lets one write at a time: writers wait in our queue, in order, and none sees "database is locked".
        let write = if is_postgres { read.clone() } else { connector.connect(url, 1).await? };
        let probe = Reader { pool: connector.connect(url, 1).await?, connector: connector.clone() };
        let read = Reader { pool: read, connector: connector.clone() };
        let db = Db { read, write, connector, hook: Arc::default() };
        Ok(Self {
            accounts: Accounts::new(db.clone()),
            exams: Exams::new(db.clone()),
            questions: Questions::new(db.clone()),
            attempts: Attempts::new(db.clone()),
            results: Results::new(db.clone()),
            regrades: Regrades::new(db.clone()),
            seats: Seats::new(db.clone()),
            invalidations: Invalidations::new(db.clone(), probe.clone()),
            outbox: Outbox::new(db.clone()),
            audit: Audit::new(db.clone()),
            db,
            probe,
        })
    }

    /// Uses another login for connections that are made from now on, such as a new password; those that are open stay.
    ///
    /// # Errors
    /// [`Error::BadUrl`], if `url` or the one in use is none of PostgreSQL.
    pub fn use_login(&self, url: &str) -> Result<(), Error> {
        if !is_postgres(url) || self.probe.get_database_backend() != DbBackend::Postgres {
            return Err(Error::BadUrl);
        }
        // Readers and writers share one.
        let pools = [&self.db.read.pool, &self.probe.pool];
        pools.into_iter().try_for_each(|pool| self.db.connector.follow(pool, url))
    }

    /// From now on `hook` is called around every commit that makes cached values wrong. Counts once: the first hook stays.
    pub fn on_commit(&self, hook: Arc<dyn CommitHook>) {
        if self.db.hook.set(hook).is_err() {
            tracing::warn!("the store had a commit hook already");
        }
    }

    /// Checks that the database answers and takes writes, however many callers wait for a connection.
    ///
    /// # Errors
    /// [`Error::Unavailable`], [`Error::ReadOnly`].
    pub async fn ping(&self) -> Result<(), Error> {
        let done = match self.probe.get_database_backend() {
            DbBackend::Postgres => is_read_only(&self.probe).await,
            // SQLite says only to those who want to write, and they wait for each other: asked where one has failed.
            _ if self.db.connector.retirement.is_within(SUSPICION) => {
                self.probe.execute_unprepared("PRAGMA user_version = 0").await.map(|_| false)
            }
            _ => self.probe.execute_unprepared("SELECT 1").await.map(|_| false),
        };
        let done = done.map_err(Error::from);
        self.db.note(&done);
        if done? {
            self.db.connector.retirement.retire(&Error::ReadOnly);
            return Err(Error::ReadOnly);
        }
        Ok(())
    }

    /// The database's clock, in whole ms; SQLite's is this machine's.
    ///
    /// # Errors
    /// [`Error::Unavailable`] or [`Error::Database`].
    pub async fn clock(&self) -> Result<Timestamp, Error> {
        let backend = self.db.read.get_database_backend();
        let sql = match backend {
            DbBackend::Postgres => "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000 AS BIGINT) AS ms",
            _ => "SELECT CAST(unixepoch('subsec') * 1000 AS INTEGER) AS ms",
        };
        let row = self.db.read.query_one_raw(Statement::from_string(backend, sql)).await?;
        let ms = row.map_or(Ok(0), |row| row.try_get("", "ms"))?;
        Ok(Timestamp::from_millis(ms))
    }

    /// Returns the answer that a repeated request had when it was first sent.
    ///
    /// # Errors
    /// [`Error::KeyReused`] if its key was used for another request, [`Error::Unavailable`].
    pub async fn first_answer(
        &self,
        request: &IdempotentRequest,
        now: Timestamp,
    ) -> Result<Option<FirstAnswer>, Error> {
        request.find(&self.db.read, now).await
    }

    /// How the pools of connections are used: by name, open ones and those of them that nobody uses now. PostgreSQL has
    /// one pool for both.
    pub fn pools(&self) -> [(&'static str, u32, u32); 2] {
        [("read", &self.db.read.pool), ("write", &self.db.write)].map(|(name, connection)| {
            let (open, idle) = match connection.get_database_backend() {
                DbBackend::Sqlite => {
                    let pool = connection.get_sqlite_connection_pool();
                    (pool.size(), pool.num_idle())
                }
                DbBackend::Postgres => {
                    let pool = connection.get_postgres_connection_pool();
                    (pool.size(), pool.num_idle())
                }
                _ => (0, 0),
            };
            (name, open, u32::try_from(idle).unwrap_or(u32::MAX))
        })
    }

    /// Lets go of all connections.
    pub async fn close(self) {
        for connection in [self.db.read.pool, self.db.write, self.probe.pool] {
            if let Err(error) = connection.close().await {
                tracing::debug!(%error, "database connection was gone before it was closed");
            }
        }
    }
}

/// Asks a PostgreSQL server whether it takes no writes: in recovery (a standby) transactions are read-only too.
async fn is_read_only(connection: &Reader) -> Result<bool, DbErr> {
    let sql = "SELECT CAST(current_setting('transaction_read_only') AS BOOLEAN) AS read_only";
    let row = connection.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    row.map_or(Ok(false), |row| row.try_get("", "read_only"))
}
