//! Loads now, whatever is cached.

use examhall_testkit::eventually;

use super::*;

async fn reload(cache: &Cache, row: &Row) -> Result<(Option<i64>, Source), ReadError> {
    let row = row.clone();
    let (cached, source) = cache.reload(&KEY, move || row.load()).await?;
    Ok((cached.map(|cached| cached.version()), source))
}

fn reloader(cache: &Cache, row: &Row) -> tokio::task::JoinHandle<Result<(Option<i64>, Source), ReadError>> {
    let (cache, row) = (cache.clone(), row.clone());
    tokio::spawn(async move { reload(&cache, &row).await })
}

#[tokio::test]
async fn get_loads_nothing_and_reload_loads_what_is_cached() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    assert!(one.get(&KEY).await.is_none());
    for version in 1..50 {
        let local = async || (read(&other, &row).await.1 == Source::Local).then_some(());
        eventually("the memory to answer", TIMEOUT, local).await;
        row.change(); // nobody invalidates it
        let loaded = async || (reload(&one, &row).await.expect("loaded").1 == Source::Loaded).then_some(());
        eventually("it to be stored", TIMEOUT, loaded).await;
        assert_eq!(one.get(&KEY).await.expect("stored").version(), version, "at once in this process");
        let seen = async || (read(&other, &row).await.0 == version).then_some(());
        eventually("the other process to see it", LATE, seen).await;
    }
}

#[tokio::test]
async fn a_value_read_before_a_change_is_not_stored_after_it() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    read(&one, &row).await;
    let old = Row::gated();
    let reloading = reloader(&one, &old);
    old.loading().await;
    row.change();
    old.change();
    let (commit, keys) = (uuid::Uuid::new_v4(), [format!("exam:{}", KEY.0)]);
    other.before_commit(commit, &keys).await;
    eventually("Redis to be notified", TIMEOUT, async || other.after_commit(commit, &keys).await.then_some(())).await;
    old.open();
    assert_eq!(reloading.await.expect("no panic").expect("loaded").0, Some(0), "what it has read");
    for cache in [&one, &other] {
        assert_eq!(read(cache, &row).await.0, 1, "and nobody else gets it");
    }
}

#[tokio::test]
async fn a_reload_during_another_load_reads_after_it() {
    let redis = Redis::start().await;
    for (one, other) in [(cache(&redis).await, cache(&redis).await), {
        let local = Cache::builder(KEY_SPACES).local_only().expect("good options");
        (local.clone(), local)
    }] {
        let (slow, row) = (Row::gated(), Row::new());
        let reading = reader(&one, &slow);
        slow.loading().await;
        row.change();
        let reloading = reloader(&other, &row);
        slow.open();
        assert_eq!(reading.await.expect("no panic").expect("read").0, Some(0));
        assert_eq!(reloading.await.expect("no panic").expect("loaded"), (Some(1), Source::Loaded));
        assert_eq!((read(&other, &row).await.0, row.loads()), (1, 1), "it is stored");
    }
}

#[tokio::test]
async fn a_failed_or_cancelled_reload_changes_nothing_that_is_cached() {
    let redis = Redis::start().await;
    for cache in [cache(&redis).await, Cache::builder(KEY_SPACES).local_only().expect("good options")] {
        let row = Row::new();
        read(&cache, &row).await;
        row.fails.store(1, Ordering::SeqCst);
        let error = reload(&cache, &row).await.expect_err("the database is away");
        assert!(error.of_loader::<Away>().is_some());
        assert_eq!(try_read(&cache, &row).await.expect("cached").0, Some(0));
        assert_eq!(row.loads(), 2);
        let slow = Row::gated();
        let reloading = reloader(&cache, &slow);
        slow.change();
        slow.loading().await;
        reloading.abort();
        slow.change();
        slow.open();
        let stored = async || (cache.get(&KEY).await?.version() == 1).then_some(());
        eventually("the load to go on", TIMEOUT, stored).await;
        forget(&cache).await;
    }
}

#[tokio::test]
async fn a_reload_without_redis_is_seen_in_its_process() {
    let mut redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    read(&cache, &row).await;
    redis.kill().await;
    read(&cache, &row).await;
    row.change();
    assert_eq!(reload(&cache, &row).await.expect("loaded"), (Some(1), Source::Bypass));
    assert_eq!(read(&cache, &row).await.0, 1);
}

#[tokio::test]
async fn an_oversize_value_is_returned_and_blocks_no_load() {
    let redis = Redis::start().await;
    for cache in [cache(&redis).await, Cache::builder(KEY_SPACES).local_only().expect("good options")] {
        let value = Exam { description: "x".repeat(1024 * 1024), ..exam(7) };
        let fresh = Fresh::new(7, access(), value);
        let (cached, _) = cache.reload(&KEY, async move || Ok::<_, Away>(Some(fresh))).await.expect("loaded");
        assert_eq!(cached.expect("something").version(), 7);
    }
    assert_eq!(redis.cmd::<i64>(&format!("EXISTS cl:{{exam:{}}}", KEY.0)).await, 0, "nobody has a lease");
}
