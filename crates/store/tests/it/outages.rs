//! Servers that change under open connections: standbys, altered tables, files that cannot be written.

use std::time::Duration;

use examhall_core::UserId;
use examhall_store::{Error, Store};
use examhall_testkit::{Database, DatabaseKind, eventually};
use sea_orm::ConnectionTrait;

use crate::{Fresh, NOW, named};

async fn execute(fresh: &Fresh, sql: &str) {
    let connection = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    connection.execute_unprepared(sql).await.expect("run");
    connection.close().await.expect("closed");
}

/// Reads and writes on several connections at once, none of which may fail.
async fn use_many_connections(store: &Store, user: UserId) {
    let work = (0..12).map(|n| {
        let store = store.clone();
        tokio::spawn(async move {
            store.accounts.get(user).await.expect("read");
            store.accounts.change(user, &named(&format!("Ada {n}")), None, NOW).await.expect("written");
        })
    });
    for work in work.collect::<Vec<_>>() {
        work.await.expect("no error");
    }
}

#[tokio::test]
async fn a_table_that_is_altered_fails_no_request() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let user = fresh.author().await;
    use_many_connections(&fresh.store, user).await;
    for kind in ["TEXT", "VARCHAR"] {
        execute(&fresh, &format!("ALTER TABLE users ALTER COLUMN name TYPE {kind}")).await;
        use_many_connections(&fresh.store, user).await;
    }
}

#[tokio::test]
async fn connections_that_the_server_ends_fail_no_request() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    let user = fresh.author().await;
    use_many_connections(&fresh.store, user).await;
    execute(&fresh, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()").await;
    use_many_connections(&fresh.store, user).await;
}

#[tokio::test]
async fn a_standby_is_read_and_written_once_it_is_promoted() {
    let mut fresh = Fresh::start(DatabaseKind::Postgres).await;
    let user = fresh.author().await;
    fresh.database.server().restart_as_standby().await;
    eventually("seen to be read-only", Duration::from_secs(30), async || {
        matches!(fresh.store.ping().await, Err(Error::ReadOnly)).then_some(())
    })
    .await;
    assert_eq!(fresh.store.accounts.get(user).await.expect("read").value.id, user);
    fresh.store.migrate().await.expect("nothing is pending, so a standby is good enough");
    let renamed = fresh.store.accounts.change(user, &named("Ada"), None, NOW).await;
    assert!(matches!(renamed, Err(Error::Unavailable(_))), "{renamed:?}");
    execute(&fresh, "SELECT pg_promote()").await;
    eventually("written", Duration::from_secs(10), async || {
        fresh.store.accounts.change(user, &named("Ada"), None, NOW).await.ok()
    })
    .await;
    eventually("seen to be writable", Duration::from_secs(10), async || fresh.store.ping().await.ok()).await;
}

#[tokio::test]
async fn an_sqlite_file_that_is_read_only_is_read_and_said_to_be() {
    let database = Database::start(DatabaseKind::Sqlite).await;
    let writable = Store::connect(&database.url()).await.expect("connected");
    writable.migrate().await.expect("migrated");
    let store = Store::connect(&database.url().replace("mode=rwc", "mode=ro")).await.expect("connected");
    let pruned = store.accounts.prune(NOW).await;
    assert!(matches!(pruned, Err(Error::Unavailable(_))), "{pruned:?}");
    assert!(store.is_migrated().await.expect("read"));
    assert!(store.ping().await.is_err(), "not ready");
    writable.ping().await.expect("the other is");
}
