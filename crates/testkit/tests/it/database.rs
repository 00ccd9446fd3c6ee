//! The database behind the API's back: its rows, and a trigger that holds a writer at a chosen step.

use std::process::Output;

use examhall_testkit::{Database, World, eventually};
use tempfile::TempDir;
use tokio::process::Command;

use crate::TIMEOUT;

/// The test on SQLite and on PostgreSQL.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() { super::$test(super::DatabaseKind::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $test() { super::$test(super::DatabaseKind::Postgres).await; })*
        }
    };
}
pub(crate) use on_both;

/// Python's sqlite3, as psql prints: a line for each row, with a bar between columns.
const SQLITE: &str = "
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], timeout=float(sys.argv[2]), isolation_level=None)
for statement in sys.argv[3:]:
    for row in db.execute(statement):
        print('|'.join('' if value is None else str(value) for value in row))
";

/// Python's sqlite3 with these statements; returns up after `timeout` seconds if another process writes.
async fn sqlite(folder: &TempDir, timeout: &str, statements: &[&str]) -> Output {
    let mut python = Command::new("python3");
    python.args(["-c", SQLITE]).arg(folder.path().join("examhall.db")).arg(timeout).args(statements);
    python.output().await.expect("python3 is installed")
}

/// Runs a statement and returns what it prints.
pub(crate) async fn sql(world: &World, statement: &str) -> String {
    let output = match &world.database {
        Database::Sqlite(folder) => sqlite(folder, "60", &[statement]).await,
        Database::Postgres(server) => {
            let mut psql = Command::new("psql");
            let psql = psql.args([server.url().as_str(), "-qAt", "-v", "ON_ERROR_STOP=1", "-c", statement]);
            psql.output().await.expect("psql is installed with PostgreSQL")
        }
    };
    assert!(output.status.success(), "{statement}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// From now on a client that does `event` to the outbox is kept busy before it.
pub(crate) async fn hold(world: &World, event: &str, condition: &str) {
    let trigger = match &world.database {
        // Counts for minutes: SQLite cannot sleep.
        Database::Sqlite(_) => format!(
            "CREATE TRIGGER hold BEFORE {event} ON mail_outbox WHEN {condition} BEGIN SELECT max(n) FROM (WITH \
             RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c) SELECT n FROM c LIMIT 100000000000); END"
        ),
        Database::Postgres(_) => format!(
            "CREATE FUNCTION hold() RETURNS trigger AS 'BEGIN PERFORM pg_sleep(600); RETURN NEW; END' LANGUAGE \
             plpgsql; CREATE TRIGGER hold BEFORE {event} ON mail_outbox FOR EACH ROW WHEN ({condition}) EXECUTE \
             FUNCTION hold()"
        ),
    };
    sql(world, &trigger).await;
}

pub(crate) async fn wait_until_held(world: &World) {
    eventually("somebody held by the trigger", TIMEOUT, async || {
        let is_held = match &world.database {
            // No other write takes that long.
            Database::Sqlite(folder) => !sqlite(folder, "3", &["BEGIN IMMEDIATE"]).await.status.success(),
            Database::Postgres(_) => {
                sql(world, "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'PgSleep'").await != "0"
            }
        };
        is_held.then_some(())
    })
    .await;
}

/// Ends what the dead process had begun in the database, and lets everybody else pass.
pub(crate) async fn let_go(world: &World) {
    match &world.database {
        Database::Sqlite(_) => sql(world, "DROP TRIGGER hold").await, // its locks died with the process
        Database::Postgres(_) => {
            let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'PgSleep'";
            sql(world, end).await;
            sql(world, "DROP TRIGGER hold ON mail_outbox").await
        }
    };
}

/// Commits this many mails for `s1@example.com` and so on, of every priority: that of the nth is `1 + n % 10`.
pub(crate) async fn commit_mails(world: &World, count: usize) {
    let (id, nothing, now) = match &world.database {
        Database::Sqlite(_) => ("randomblob(16)", "x''", "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)"),
        Database::Postgres(_) => ("gen_random_uuid()", "''", "CAST(extract(epoch FROM now()) * 1000 AS BIGINT)"),
    };
    let rows = format!(
        "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < {count}) INSERT INTO mail_outbox (id, \
         class, template, recipient, params, sealed, priority, run_at, created_at) SELECT {id}, 'other', \
         'already-registered', 's' || n || '@example.com', '{{\"name\": \"S\"}}', {nothing}, 1 + n % 10, 0, {now} FROM c"
    );
    sql(world, &rows).await;
}

/// Waits until every mail is in the queue, and noted to be.
pub(crate) async fn wait_until_noted(world: &World) {
    eventually("all mails queued and noted", TIMEOUT, async || {
        (sql(world, "SELECT count(*) FROM mail_outbox WHERE enqueued_at IS NULL").await == "0").then_some(())
    })
    .await;
}
