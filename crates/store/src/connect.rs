//! How connections are made: limits of time, and what a pooler between us and PostgreSQL needs.
//!
//! A pooler in transaction mode (`PgBouncer`) gives each transaction another connection to the server. So nothing may
//! outlive a transaction: no setting of the session, no prepared statement.

use std::{
    fs::{DirBuilder, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    time::Duration,
};

use sea_orm::{
    ConnectOptions, ConnectionTrait, Database, DatabaseConnection, DatabaseTransaction, DbErr, SqliteTransactionMode,
    TransactionOptions, TransactionTrait,
    sqlx::{
        self, ConnectOptions as _, Connection, Executor, Row,
        pool::PoolOptions,
        postgres::{PgConnectOptions, PgConnection},
        sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous},
    },
};

use crate::{Error, retirement::Retirement};

/// How long to wait for a connection, and how long a statement may take.
const TIMEOUT: Duration = Duration::from_secs(5);
/// [`TIMEOUT`] as PostgreSQL shows it.
const TIMEOUT_SHOWN: &str = "5s";
/// Begins a transaction behind a pooler. Statements that somebody else has prepared on this connection to the server may
/// have the names of ours.
const BEGIN_POOLED: &str = "DEALLOCATE ALL; SET LOCAL statement_timeout = '5s'";

/// How one database is reached.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    pub(crate) is_pooled: bool,
    pub(crate) retirement: Retirement,
}

impl Connector {
    /// Finds out whether a pooler is in between.
    pub(crate) async fn of(url: &str) -> Self {
        let is_pooled = is_postgres(url) && is_pooled(url).await;
        if is_pooled {
            tracing::info!("The database is reached through a pooler: statements are prepared for each transaction");
        }
        Self { is_pooled, retirement: Retirement::default() }
    }

    pub(crate) async fn connect(&self, url: &str, connections: u32) -> Result<DatabaseConnection, Error> {
        let (for_postgres, for_sqlite, is_pooled) = (self.retirement.clone(), self.retirement.clone(), self.is_pooled);
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(connections)
            .connect_timeout(TIMEOUT)
            .acquire_timeout(TIMEOUT)
            .sqlx_logging(false)
            .map_sqlx_postgres_opts(move |postgres| if is_pooled { without_session(postgres) } else { postgres })
            .map_sqlx_postgres_pool_opts(move |pool| replacing(pool, for_postgres.clone()))
            .map_sqlx_sqlite_pool_opts(move |pool| replacing(pool, for_sqlite.clone()))
            .map_sqlx_sqlite_opts(|sqlite| {
                sqlite.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal)
            });
        if !is_pooled {
            options.statement_timeout(TIMEOUT);
        }
        Database::connect(options).await.map_err(Error::Unavailable)
    }

    /// Connects as `url` says from now on; connections that are open stay. Only for PostgreSQL, whose logins change.
    pub(crate) fn follow(&self, pool: &DatabaseConnection, url: &str) -> Result<(), Error> {
        let options = url.parse::<PgConnectOptions>().map_err(|_| Error::BadUrl)?.disable_statement_logging();
        let options = if self.is_pooled {
            without_session(options)
        } else {
            options.options([("statement_timeout", TIMEOUT.as_millis().to_string())])
        };
        pool.get_postgres_connection_pool().set_connect_options(options);
        Ok(())
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self, pool: &DatabaseConnection) -> Result<DatabaseTransaction, DbErr> {
        // SQLite: the lock is taken now. A transaction that read first and then wants to write would be refused.
        let sqlite_transaction_mode = Some(SqliteTransactionMode::Immediate);
        let options = TransactionOptions { sqlite_transaction_mode, ..TransactionOptions::default() };
        let tx = pool.begin_with_options(options).await?;
        if self.is_pooled {
            tx.execute_unprepared(BEGIN_POOLED).await?;
        }
        Ok(tx)
    }
}

pub(crate) fn is_postgres(url: &str) -> bool {
    url.starts_with("postgres://") || url.starts_with("postgresql://")
}

/// Makes the file of a SQLite URL that may make one (`mode=rwc`), and the folder of any. Nobody but their owner can read
/// what is made, whatever the umask; SQLite gives its `-wal` and `-shm` the mode of the file.
pub(crate) fn make_file_of(url: &str) -> io::Result<()> {
    let Ok(options) = url.parse::<SqliteConnectOptions>() else { return Ok(()) }; // connecting says why
    let (path, query) = (options.get_filename(), url.split_once('?').map_or("", |(_, query)| query));
    if url.contains(":memory:") || query.split('&').any(|one| one == "mode=memory") || path.as_os_str().is_empty() {
        return Ok(());
    }
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    if !query.split('&').any(|one| one == "mode=rwc") {
        return Ok(());
    }
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Returns whether something between us and the server does not pass settings of the session on: it refuses them, or
/// they have no effect. A server that cannot be reached is none; connecting to it says why.
async fn is_pooled(url: &str) -> bool {
    let Ok(options) = url.parse::<PgConnectOptions>() else { return false };
    let options = options.options([("statement_timeout", TIMEOUT.as_millis().to_string())]);
    let found = tokio::time::timeout(TIMEOUT, statement_timeout(&options.disable_statement_logging())).await;
    match found {
        Ok(Ok(found)) => found != TIMEOUT_SHOWN,
        Ok(Err(sqlx::Error::Database(error))) => error.message().contains("unsupported startup parameter"),
        _ => false,
    }
}

async fn statement_timeout(options: &PgConnectOptions) -> Result<String, sqlx::Error> {
    let mut connection = PgConnection::connect_with(options).await?;
    let found = connection.fetch_one("SHOW statement_timeout").await?.try_get(0)?; // text is not prepared
    connection.close().await?;
    Ok(found)
}

fn without_session(options: PgConnectOptions) -> PgConnectOptions {
    options.statement_cache_capacity(0).extra_float_digits(None)
}

/// A pool that does not give out connections that are retired.
fn replacing<DB: sqlx::Database>(pool: PoolOptions<DB>, retirement: Retirement) -> PoolOptions<DB> {
    pool.before_acquire(move |_, connection| Box::pin(std::future::ready(Ok(retirement.allows(&connection)))))
}
