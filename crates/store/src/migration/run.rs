//! Runs migrations, each in one transaction together with its row in `seaql_migrations`: a process that is killed in
//! the middle of one leaves nothing of it. An advisory lock (SQLite: the lock of the file) makes processes wait for each
//! other; the one that comes later finds nothing left to do.

use std::{
    collections::BTreeSet,
    time::{Duration, Instant, SystemTime},
};

use examhall_core::Timestamp;
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, Statement, Value};
use sea_orm_migration::{MigrationTrait, MigratorTrait, SchemaManager};

use super::{
    BREAKING, Migrator,
    plan::{self, Move},
};
use crate::{Error, db::Db, fault::Fault};

/// How long to wait for another process that migrates, or for a table that is in use.
const TIMEOUT: Duration = Duration::from_mins(10);
/// Pause between two tries.
const PAUSE: Duration = Duration::from_millis(200);
/// The wait is logged this often.
const LOG_PAUSE: Duration = Duration::from_secs(5);
/// Names the advisory lock: "examhall" in ASCII.
const LOCK: i64 = 0x6578_616d_6861_6c6c;
/// A migration that waits longer than this for a lock on a table lets the traffic behind it go on, and tries again.
const LOCK_TIMEOUT: &str = "2s";

/// What is known of the tables.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applied {
    /// Migrations that were applied, also by newer programs.
    pub(crate) names: BTreeSet<String>,
    /// Those of them that a program must know.
    pub(crate) needs: BTreeSet<String>,
}

enum Progress {
    Moved,
    Arrived,
    /// Another process migrates.
    Held,
}

/// Applies or takes back migrations until the first `target` of them are applied and no others.
///
/// # Errors
/// [`Error::Newer`] if a migration is needed or must be taken back that this program does not know,
/// [`Error::Unavailable`] if others hold the lock for too long, [`Error::Database`].
pub(crate) async fn run(db: &Db, target: usize) -> Result<(), Error> {
    let (since, mut logged) = (Instant::now(), None::<Instant>);
    loop {
        let reason = match advance(db, target).await {
            Ok(Progress::Moved) => continue,
            Ok(Progress::Arrived) => return Ok(()),
            Ok(Progress::Held) if since.elapsed() < TIMEOUT => "another process migrates the database".to_owned(),
            Ok(Progress::Held) => return Err(Error::MigrationHeld),
            Err(Error::Unavailable(error)) if may_wait(&error) && since.elapsed() < TIMEOUT => error.to_string(),
            Err(error) => return Err(error),
        };
        if logged.is_none_or(|logged| logged.elapsed() >= LOG_PAUSE) {
            logged = Some(Instant::now());
            tracing::info!(reason, seconds = since.elapsed().as_secs(), "Migration waits");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Reads what was applied; nothing if no program has been here.
pub(crate) async fn applied(db: &impl ConnectionTrait) -> Result<Applied, DbErr> {
    let read = async |table: &str, column: &str| {
        if !has_table(db, table).await? {
            return Ok(BTreeSet::new());
        }
        let sql = format!("SELECT {column} AS name FROM {table}");
        let rows = db.query_all_raw(Statement::from_string(db.get_database_backend(), sql)).await?;
        rows.iter().map(|row| row.try_get("", "name")).collect::<Result<BTreeSet<String>, DbErr>>()
    };
    Ok(Applied { names: read("seaql_migrations", "version").await?, needs: read("schema_needs", "migration").await? })
}

fn may_wait(error: &DbErr) -> bool {
    matches!(Fault::of(error), Some(Fault::Locked | Fault::Conflict))
}

async fn has_table(db: &impl ConnectionTrait, table: &str) -> Result<bool, DbErr> {
    let backend = db.get_database_backend();
    let sql = match backend {
        // Not `to_regclass`: it answers from what the connection remembers, also that there was no such table when another
        // process had not made it yet.
        DbBackend::Postgres => {
            "SELECT EXISTS (SELECT 1 FROM pg_catalog.pg_class \
             WHERE relname = $1 AND pg_catalog.pg_table_is_visible(oid)) AS found"
        }
        _ => "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = $1) AS found",
    };
    let row = db.query_one_raw(Statement::from_sql_and_values(backend, sql, [table.into()])).await?;
    row.map_or(Ok(false), |row| row.try_get("", "found"))
}

/// Makes one move.
async fn advance(db: &Db, target: usize) -> Result<Progress, Error> {
    let tx = db.begin().await?;
    if !lock(&tx).await? {
        return Ok(Progress::Held);
    }
    let (steps, before) = (Migrator::migrations(), applied(&tx).await?);
    let known: Vec<String> = steps.iter().map(|step| step.name().to_owned()).collect();
    let next = plan::next(&known, &before.names, target);
    super::check_known(&known, &before, matches!(next, Some(Move::Down(_))))?;
    let (step, is_up) = match next {
        None => return Ok(Progress::Arrived),
        Some(Move::Up(at)) => (&steps[at], true),
        Some(Move::Down(at)) => (&steps[at], false),
    };
    if before.names.is_empty() {
        Migrator::install(&tx).await?;
    }
    apply(&tx, &**step, is_up).await?;
    tx.commit().await?;
    if is_up {
        tracing::info!(migration = step.name(), "Migration applied");
    } else {
        tracing::warn!(migration = step.name(), "Migration taken back");
    }
    Ok(Progress::Moved)
}

/// Returns whether no other process migrates, nor can until `tx` ends. SQLite: `tx` has the lock of the file already.
async fn lock(tx: &DatabaseTransaction) -> Result<bool, DbErr> {
    if tx.get_database_backend() != DbBackend::Postgres {
        return Ok(true);
    }
    // A step takes as long as it takes; the time limit of statements is for requests.
    let settings = format!(
        "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0; \
         SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"
    );
    tx.execute_unprepared(&settings).await?;
    let sql = format!("SELECT pg_try_advisory_xact_lock({LOCK}) AS locked");
    let row = tx.query_one_raw(Statement::from_string(DbBackend::Postgres, sql)).await?;
    row.map_or(Ok(false), |row| row.try_get("", "locked"))
}

async fn apply(tx: &DatabaseTransaction, step: &dyn MigrationTrait, is_up: bool) -> Result<(), DbErr> {
    let (manager, name) = (SchemaManager::new(tx), step.name());
    let execute = async |sql: &str, values: Vec<Value>| {
        tx.execute_raw(Statement::from_sql_and_values(tx.get_database_backend(), sql, values)).await.map(drop)
    };
    if is_up {
        step.up(&manager).await?;
        let now = Timestamp::from(SystemTime::now()).as_millis() / 1000;
        let sql = "INSERT INTO seaql_migrations (version, applied_at) VALUES ($1, $2)";
        execute(sql, vec![name.into(), now.into()]).await?;
        if BREAKING.contains(&name) {
            execute("INSERT INTO schema_needs (migration) VALUES ($1)", vec![name.into()]).await?;
        }
        return Ok(());
    }
    if BREAKING.contains(&name) {
        execute("DELETE FROM schema_needs WHERE migration = $1", vec![name.into()]).await?;
    }
    step.down(&manager).await?;
    execute("DELETE FROM seaql_migrations WHERE version = $1", vec![name.into()]).await
}

#[cfg(test)]
mod tests {
    use examhall_testkit::Postgres;
    use sea_orm::{ConnectOptions, Database, TransactionTrait};

    use super::*;

    #[tokio::test]
    async fn a_table_that_was_made_meanwhile_is_found() {
        let server = Postgres::start().await;
        let connect = || Database::connect(ConnectOptions::new(server.url()));
        let [one, other] = [connect().await.expect("a connection"), connect().await.expect("a connection")];
        let tx = one.begin().await.expect("a transaction");
        assert!(applied(&tx).await.expect("nothing").names.is_empty());
        let makes =
            "CREATE TABLE seaql_migrations (version text); INSERT INTO seaql_migrations VALUES ('m0001_accounts')";
        other.execute_unprepared(makes).await.expect("a table");
        assert_eq!(applied(&tx).await.expect("one").names.len(), 1);
    }
}
