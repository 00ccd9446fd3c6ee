use std::time::{Duration, SystemTime};

use examhall_core::UserId;
use examhall_store::{Error, MigrationMove, MigrationState, Store};
use examhall_testkit::{Database, DatabaseKind};
use sea_orm::ConnectionTrait;
use uuid::Uuid;

use crate::{Fresh, Other, on_both};

on_both!(
    migrations_go_up_and_down_and_up_again,
    migrations_go_to_each_step_and_back,
    a_newer_schema_that_only_added_is_used,
    a_newer_schema_that_is_needed_is_refused,
    migrations_started_at_once_all_succeed,
    its_clock_is_told_in_ms_since_1970,
);

async fn migrations_go_up_and_down_and_up_again(fresh: Fresh) {
    let store = fresh.store;
    assert!(store.is_migrated().await.expect("asked"));
    store.migrate().await.expect("a second time changes nothing");
    store.unmigrate().await.expect("down");
    assert!(!store.is_migrated().await.expect("asked"));
    store.migrate().await.expect("up again");
    store.ping().await.expect("alive");
}

fn applied(steps: &[examhall_store::MigrationStep]) -> usize {
    steps.iter().filter(|step| step.state == MigrationState::Applied).count()
}

async fn migrations_go_to_each_step_and_back(fresh: Fresh) {
    let store = fresh.store;
    let steps = store.migrations().await.expect("listed");
    assert_eq!(applied(&steps), steps.len());
    for round in 0..2 {
        let down = steps.iter().enumerate().rev();
        let path: Vec<_> = if round == 0 { down.collect() } else { steps.iter().enumerate().collect() };
        for (at, step) in path {
            let plan = store.plan(Some(&step.name)).await.expect("planned");
            store.migrate_to(&step.name).await.expect(&step.name);
            let now = store.migrations().await.expect("listed");
            assert_eq!((applied(&now), now.len()), (at + 1, steps.len()), "{}", step.name);
            let moved = plan.iter().all(|one| match one {
                MigrationMove::Down(name) => round == 0 && *name == steps[at + 1].name,
                MigrationMove::Up(name) => round == 1 && *name == step.name,
            });
            assert!(moved && plan.len() <= 1, "{plan:?}");
        }
    }
    assert!(matches!(store.migrate_to("m9999").await, Err(Error::UnknownStep(_))));
    store.migrate_to("m0008").await.expect("a number is enough");
    store.migrate().await.expect("up");
}

/// Does to the tables what a newer version would do.
async fn migrate_with_newer_version(fresh: &Fresh, is_needed: bool) {
    let newer = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    let mut sql = "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9001_newer', 1)".to_owned();
    if is_needed {
        sql += "; INSERT INTO schema_needs (migration) VALUES ('m9001_newer')";
    }
    newer.execute_unprepared(&sql).await.expect("done");
    newer.close().await.expect("closed");
}

async fn a_newer_schema_that_only_added_is_used(fresh: Fresh) {
    migrate_with_newer_version(&fresh, false).await;
    let store = &fresh.store;
    assert!(store.is_migrated().await.expect("usable"));
    store.migrate().await.expect("nothing to do");
    fresh.author().await;
    let last = store.migrations().await.expect("listed").pop().expect("a step");
    assert_eq!((last.name.as_str(), last.state), ("m9001_newer", MigrationState::Newer));
    // What an older version does not know it cannot take back.
    assert!(matches!(store.migrate_to("m0008").await, Err(Error::Newer(name)) if name == "m9001_newer"));
    assert!(store.is_migrated().await.expect("nothing was taken back"));
}

async fn a_newer_schema_that_is_needed_is_refused(fresh: Fresh) {
    migrate_with_newer_version(&fresh, true).await;
    let refused = |done| matches!(done, Err(Error::Newer(name)) if name == "m9001_newer");
    assert!(refused(fresh.store.is_migrated().await.map(drop)));
    assert!(refused(fresh.store.migrate().await));
}

async fn migrations_started_at_once_all_succeed(fresh: Fresh) {
    fresh.store.unmigrate().await.expect("down");
    let mut runs = Vec::new();
    for _ in 0..4 {
        let store = Store::connect(&fresh.database.url()).await.expect("connected");
        runs.push(tokio::spawn(async move { store.migrate().await }));
    }
    for run in runs {
        run.await.expect("no panic").expect("migrated");
    }
    assert!(fresh.store.is_migrated().await.expect("asked"));
}

#[tokio::test]
async fn a_step_that_was_killed_half_way_is_run_again() {
    // As programs did that ran steps of SQLite without a transaction.
    let database = Database::start(DatabaseKind::Sqlite).await;
    let store = Store::connect(&database.url()).await.expect("connected");
    store.migrate_to("m0005").await.expect("up");
    let killed = sea_orm::Database::connect(database.url()).await.expect("connected");
    killed.execute_unprepared("DROP INDEX mail_outbox_waiting").await.expect("dropped");
    let half = "CREATE INDEX mail_outbox_urgent ON mail_outbox (priority DESC, id) WHERE enqueued_at IS NULL";
    killed.execute_unprepared(half).await.expect("made");
    store.migrate().await.expect("run again");
    assert!(store.is_migrated().await.expect("asked"));
}

#[tokio::test]
async fn a_step_that_fails_leaves_nothing_behind() {
    for kind in [DatabaseKind::Sqlite, DatabaseKind::Postgres] {
        let database = Database::start(kind).await;
        let store = Store::connect(&database.url()).await.expect("connected");
        store.migrate_to("m0004").await.expect("up");
        let other = sea_orm::Database::connect(database.url()).await.expect("connected");
        // The third table of the next step is there already: the first two are made before it fails.
        other.execute_unprepared("CREATE TABLE forced_changes (id INTEGER)").await.expect("made");
        assert!(matches!(store.migrate().await, Err(Error::Database(_))));
        other.execute_unprepared("DROP TABLE forced_changes").await.expect("dropped");
        store.migrate().await.expect("run again");
    }
}

#[tokio::test]
async fn a_step_may_take_longer_than_a_statement_of_a_request() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    fresh.store.migrate_to("m0010").await.expect("down");
    let slow = sea_orm::Database::connect(fresh.database.url()).await.expect("connected");
    let sql = "CREATE SEQUENCE runs; CREATE FUNCTION slow() RETURNS event_trigger LANGUAGE plpgsql
               AS $$ BEGIN IF nextval('runs') = 1 THEN PERFORM pg_sleep(6); END IF; END $$;
               CREATE EVENT TRIGGER slow ON ddl_command_start WHEN TAG IN ('CREATE INDEX') EXECUTE FUNCTION slow()";
    slow.execute_unprepared(sql).await.expect("made");
    fresh.store.migrate_to("m0011").await.expect("migrated");
}

#[tokio::test]
async fn a_migration_waits_for_a_table_and_lets_requests_pass() {
    let fresh = Fresh::start(DatabaseKind::Postgres).await;
    fresh.store.migrate_to("m0010").await.expect("down");
    let other = Other::amid(&fresh, "LOCK TABLE sessions IN ROW EXCLUSIVE MODE").await;
    let store = fresh.store.clone();
    let migrating = tokio::spawn(async move { store.migrate_to("m0011").await });
    other.sees_waiting(1).await; // its first try
    other.sees_waiting(0).await; // given up: what is queued behind it goes on
    other.sees_waiting(1).await; // its second
    other.gives_up().await;
    migrating.await.expect("no panic").expect("migrated");
}

async fn its_clock_is_told_in_ms_since_1970(fresh: Fresh) {
    let here = || SystemTime::UNIX_EPOCH.elapsed().map(|since| i64::try_from(since.as_millis())).expect("after 1970");
    let before = here().expect("in range");
    let clock = fresh.store.clock().await.expect("read").as_millis();
    let after = here().expect("in range");
    // The server runs on this machine; either side may have rounded a millisecond.
    assert!((before - 1..=after + 1).contains(&clock), "{before} {clock} {after}");
}

#[tokio::test]
async fn a_url_of_another_kind_is_refused() {
    for url in ["", "mysql://localhost", "data/examhall.db"] {
        assert!(matches!(Store::connect(url).await, Err(Error::BadUrl)), "{url}");
    }
}

#[tokio::test]
async fn the_folder_of_an_sqlite_file_is_made() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let url = format!("sqlite://{}/data/deep/examhall.db?mode=rwc", folder.path().display());
    Store::connect(&url).await.expect("connected").ping().await.expect("alive");
}

#[tokio::test]
async fn a_database_that_is_away_is_unavailable_and_comes_back() {
    let mut fresh = Fresh::start(crate::DatabaseKind::Postgres).await;
    fresh.database.server().kill().await;
    assert!(matches!(fresh.store.ping().await, Err(Error::Unavailable(_))));
    fresh.database.server().restart().await;
    fresh.store.ping().await.expect("alive again");
}

#[tokio::test]
async fn a_database_whose_connections_are_all_taken_is_alive() {
    let fresh = Fresh::start(crate::DatabaseKind::Postgres).await;
    let other = Other::amid(&fresh, "LOCK TABLE users").await;
    for _ in 0..100 {
        let store = fresh.store.clone();
        tokio::spawn(async move { store.accounts.get(UserId(Uuid::nil())).await });
    }
    other.sees_waiting(16).await;
    let alive = tokio::time::timeout(Duration::from_secs(2), fresh.store.ping()).await;
    alive.expect("within the time that the probe has").expect("alive");
    other.gives_up().await;
}
