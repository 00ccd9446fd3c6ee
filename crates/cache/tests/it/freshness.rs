//! No value older than the last change.

use std::time::Instant;

use examhall_testkit::{Proxy, eventually};
use uuid::Uuid;

use super::*;

fn keys() -> Vec<String> {
    vec![format!("exam:{}", KEY.0)]
}

#[tokio::test]
async fn change_is_seen_at_once_in_all_processes() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    let mut lags = Vec::new();
    for version in 1..50 {
        read(&one, &row).await;
        read(&other, &row).await;
        row.change();
        forget(&one).await;
        assert_eq!(read(&one, &row).await.0, version);
        let invalidated = Instant::now();
        let seen = async || (read(&other, &row).await.0 == version).then_some(());
        eventually("the other process to see it", LATE, seen).await;
        lags.push(invalidated.elapsed());
    }
    mostly_within(Duration::from_millis(500), lags);
}

#[tokio::test]
async fn value_read_before_a_change_is_not_stored_after_it() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::gated());
    let before = reader(&one, &row);
    row.loading().await; // it has read version 0
    row.change();
    forget(&other).await;
    row.open();
    assert_eq!(before.await.expect("no panic").expect("read").0, Some(0), "who asked before may see the old value");
    assert_eq!(redis.cmd::<i64>(&format!("EXISTS exam:{}", KEY.0)).await, 0, "nobody stores it");
    assert_eq!(read(&one, &row).await.0, 1);
    assert_eq!(read(&other, &row).await.0, 1);
}

#[tokio::test]
async fn reader_after_a_change_joins_no_earlier_load() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::gated());
    let before = reader(&other, &row);
    row.loading().await;
    row.change();
    forget(&one).await;
    // Redis had no value for the key, and the other process was notified all the same.
    eventually("a load of its own", TIMEOUT, async || {
        drop(reader(&other, &row)); // a reader that comes too early joins the old load
        (row.loads() == 2).then_some(())
    })
    .await;
    let after = reader(&other, &row);
    row.open();
    assert_eq!(before.await.expect("no panic").expect("read").0, Some(0));
    assert_eq!(after.await.expect("no panic").expect("read").0, Some(1));
}

#[tokio::test]
async fn between_mark_and_clear_nothing_is_stored() {
    let redis = Redis::start().await;
    let (one, other, row, commit) = (cache(&redis).await, cache(&redis).await, Row::new(), Uuid::new_v4());
    read(&one, &row).await;
    one.before_commit(commit, &keys()).await;
    for cache in [&one, &other] {
        let old = eventually("the mark to be seen", TIMEOUT, async || {
            Some(read(cache, &row).await).filter(|(_, source)| *source == Source::Bypass)
        });
        assert_eq!(old.await.0, 0);
    }
    assert_eq!(redis.cmd::<i64>(&format!("EXISTS exam:{}", KEY.0)).await, 0);
    row.change(); // COMMIT; the process dies here
    assert_eq!(read(&other, &row).await, (1, Source::Bypass), "nobody waits for the one that died");
    let life: i64 = redis.cmd(&format!("PTTL cm:{{exam:{}}}", KEY.0)).await;
    assert!((1..=10_000).contains(&life), "{life}");
    let notified = async || one.after_commit(commit, &keys()).await.then_some(());
    eventually("Redis to be notified", TIMEOUT, notified).await;
    assert_eq!(read(&other, &row).await, (1, Source::Loaded));
}

#[tokio::test]
async fn clear_of_one_commit_keeps_the_mark_of_another() {
    let redis = Redis::start().await;
    let (cache, row, commits) = (cache(&redis).await, Row::new(), [Uuid::new_v4(), Uuid::new_v4()]);
    for commit in commits {
        cache.before_commit(commit, &keys()).await;
    }
    cache.after_commit(commits[0], &keys()).await;
    assert_eq!(read(&cache, &row).await.1, Source::Bypass);
    cache.after_commit(commits[1], &keys()).await;
    assert_eq!(read(&cache, &row).await.1, Source::Loaded);
}

#[tokio::test]
async fn after_a_flush_everything_is_loaded_again() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    eventually("both to answer from memory", TIMEOUT, async || {
        let local = read(&one, &row).await.1 == Source::Local && read(&other, &row).await.1 == Source::Local;
        local.then_some(())
    })
    .await;
    redis.cmd::<String>("FLUSHALL").await;
    row.change();
    for cache in [&one, &other] {
        let seen = async || (read(cache, &row).await.0 == 1).then_some(());
        eventually("the flush to be noticed", LATE, seen).await;
    }
    assert_eq!(row.loads(), 2);
}

#[tokio::test]
async fn flush_is_noticed_even_if_its_heartbeat_timed_out() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.port()).await;
    let (cache, row) = (at(&format!("redis://127.0.0.1:{}", proxy.port())).await, Row::new());
    let local = async || (read(&cache, &row).await.1 == Source::Local).then_some(());
    eventually("the memory to answer", TIMEOUT, local).await;
    let loads = row.loads();
    proxy.hold();
    redis.cmd::<String>("FLUSHALL").await;
    let canary = async || (redis.cmd::<i64>("DBSIZE").await == 1).then_some(());
    eventually("a beat that finds everything gone", TIMEOUT, canary).await;
    let first = beats(&redis).await;
    let next = async || (beats(&redis).await > first).then_some(());
    eventually("the next beat, so that nobody waits for its answer any more", TIMEOUT, next).await;
    proxy.release();
    let loaded = async || {
        read(&cache, &row).await;
        (row.loads() > loads).then_some(())
    };
    eventually("memory to be empty", TIMEOUT, loaded).await;
}

/// Number of scripts run so far; an idle cache runs only heartbeats.
async fn beats(redis: &Redis) -> u64 {
    let stats: String = redis.cmd("INFO commandstats").await;
    let calls =
        stats.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:calls=")?.split(',').next()?.parse().ok());
    calls.expect("a beat has been run")
}

#[tokio::test]
async fn memory_stops_answering_while_the_link_is_cut() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    let local = async || (read(&other, &row).await.1 == Source::Local).then_some(());
    eventually("the memory to answer", TIMEOUT, local).await;
    for version in 1..20 {
        redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        row.change();
        forget(&one).await;
        let seen = async || (read(&other, &row).await.0 == version).then_some(());
        eventually("the other process to see it", LATE, seen).await;
    }
    eventually("the memory to answer again", TIMEOUT, local).await;
}
