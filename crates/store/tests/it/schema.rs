use std::time::{Duration, SystemTime};

use examhall_core::UserId;
use examhall_store::{Error, Store};
use uuid::Uuid;

use crate::{Fresh, Other, on_both};

on_both!(migrations_go_up_and_down_and_up_again, its_clock_is_told_in_ms_since_1970);

async fn migrations_go_up_and_down_and_up_again(fresh: Fresh) {
    let store = fresh.store;
    assert!(store.is_migrated().await.expect("asked"));
    store.migrate().await.expect("a second time changes nothing");
    store.unmigrate().await.expect("down");
    assert!(!store.is_migrated().await.expect("asked"));
    store.migrate().await.expect("up again");
    store.ping().await.expect("alive");
}

async fn its_clock_is_told_in_ms_since_1970(fresh: Fresh) {
    let here = || SystemTime::UNIX_EPOCH.elapsed().map(|since| i64::try_from(since.as_millis())).expect("after 1970");
    let before = here().expect("in range");
    let clock = fresh.store.clock().await.expect("told").as_millis();
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
