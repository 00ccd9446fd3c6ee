//! Redis down, frozen, read-only, full, absent at first. No read fails.

use std::time::Instant;

use examhall_testkit::eventually;

use super::*;

#[tokio::test]
async fn without_redis_each_process_loads_once_in_2_s() {
    let mut redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    read(&one, &row).await;
    redis.kill().await;
    let loads = row.loads();
    let began = std::time::Instant::now();
    for n in 0..10_000 {
        assert_eq!(read([&one, &other][n % 2], &row).await.0, 0);
    }
    let rounds = u32::try_from(began.elapsed().as_millis() / 1_600).expect("small") + 1;
    assert!(row.loads() - loads <= rounds * 2, "{} loads in {:?}", row.loads() - loads, began.elapsed());
    row.change();
    assert!(one.delete(&KEY).await.is_err());
    assert_eq!(read(&one, &row).await.0, 1, "an own write is seen all the same");
    redis.restart().await;
    for cache in [&one, &other] {
        let back = async || (read(cache, &row).await == (1, Source::Redis)).then_some(());
        let back = eventually("Redis to be used again", TIMEOUT, back);
        back.await;
        forget(cache).await;
        read(&one, &row).await;
    }
}

#[tokio::test]
async fn frozen_redis_delays_no_reader_and_serves_nothing_stale() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    read(&one, &row).await;
    redis.process().freeze();
    row.change();
    assert!(one.delete(&KEY).await.is_err());
    for _ in 0..100 {
        assert_eq!(read(&one, &row).await.0, 1);
    }
    let seen = async || (read(&other, &row).await.0 == 1).then_some(());
    eventually("the other process to see it", LATE, seen).await;
    redis.process().thaw();
    let back = async || {
        let (version, source) = read(&one, &row).await;
        assert_eq!(version, 1);
        matches!(source, Source::Redis | Source::Loaded).then_some(())
    };
    eventually("Redis to be used again", TIMEOUT, back).await;
    assert_eq!(read(&other, &row).await.0, 1);
}

#[tokio::test]
async fn read_only_redis_is_not_read_before_it_is_invalidated() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    read(&one, &row).await;
    redis.cmd::<String>("REPLICAOF 127.0.0.1 1").await;
    redis.cmd::<String>("CONFIG SET replica-serve-stale-data yes").await;
    row.change();
    assert!(!one.after_commit(uuid::Uuid::new_v4(), &[format!("exam:{}", KEY.0)]).await);
    assert_eq!(read(&one, &row).await.0, 1);
    let seen = async || (read(&other, &row).await.0 == 1).then_some(());
    eventually("the other process to see it", LATE, seen).await;
    assert_eq!(redis.cmd::<i64>(&format!("EXISTS exam:{}", KEY.0)).await, 1, "the old value is still there");
    redis.cmd::<String>("REPLICAOF NO ONE").await;
    for cache in [&one, &other] {
        let back = async || {
            let (version, source) = read(cache, &row).await;
            assert_eq!(version, 1);
            matches!(source, Source::Redis | Source::Loaded).then_some(())
        };
        eventually("Redis to be used again", TIMEOUT, back).await;
    }
}

#[tokio::test]
async fn full_redis_still_serves_and_invalidates() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    read(&one, &row).await;
    redis.cmd::<String>("CONFIG SET maxmemory 1").await;
    assert!(read(&other, &row).await.1.is_hit());
    row.change();
    forget(&one).await; // deletions still work
    assert_eq!(read(&one, &row).await, (1, Source::Bypass), "and nothing can be stored");
    let seen = async || (read(&other, &row).await.0 == 1).then_some(());
    eventually("the other process to see it", LATE, seen).await;
    redis.cmd::<String>("CONFIG SET maxmemory 0").await;
    eventually("a fill", TIMEOUT, async || (read(&one, &row).await.1 == Source::Loaded).then_some(())).await;
}

#[tokio::test]
async fn cache_opened_without_redis_uses_it_once_it_is_up() {
    let mut redis = Redis::start().await;
    redis.kill().await;
    let (cache, row) = (Cache::builder(KEY_SPACES).open(&redis.url()).expect("a good URL"), Row::new());
    assert_eq!(read(&cache, &row).await, (0, Source::Bypass));
    assert!(cache.ping().await.is_err());
    redis.restart().await;
    eventually("a fill", TIMEOUT, async || (read(&cache, &row).await.1 == Source::Loaded).then_some(())).await;
    eventually("the memory to answer", TIMEOUT, async || (read(&cache, &row).await.1 == Source::Local).then_some(()))
        .await;
}

#[tokio::test]
async fn recent_invalidations_are_repeated_after_a_disconnect() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    let keys: Vec<_> = (1..=20_000).map(|n| ExamKey(ExamId(uuid::Uuid::from_u128(n)))).collect();
    eventually("all to be invalidated", TIMEOUT, async || cache.delete_many(&keys).await.ok()).await;
    let deletions = async || {
        let stats: String = redis.cmd("INFO commandstats").await;
        let line = stats.lines().find_map(|line| line.strip_prefix("cmdstat_del:calls=")).expect("scripts have run");
        line.split(',').next().expect("a number").parse::<usize>().expect("a number")
    };
    let before = deletions().await;
    redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
    eventually("all to be invalidated again", TIMEOUT, async || {
        (deletions().await >= before + keys.len()).then_some(())
    })
    .await;
    eventually("Redis to be read again", TIMEOUT, async || {
        cache.delete(&KEY).await.ok()?;
        (read(&cache, &row).await.1 == Source::Loaded).then_some(())
    })
    .await;
}

#[tokio::test]
async fn unfilled_value_is_served_for_2_s_after_it_was_read() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::gated());
    let reading = reader(&cache, &row);
    row.loading().await; // this process has the lease
    let began = Instant::now();
    redis.process().freeze();
    row.change(); // by a process that cannot invalidate
    tokio::time::sleep(Duration::from_millis(700)).await; // the duration of the load counts
    row.open();
    assert_eq!(reading.await.expect("no panic").expect("read").0, Some(0));
    let asked = async || {
        let asked = Instant::now();
        let version = read(&cache, &row).await.0;
        assert!(version == 1 || asked - began < Duration::from_secs(2), "shown after {:?}", asked - began);
        (version == 1).then_some(())
    };
    eventually("the new value", TIMEOUT, asked).await;
    redis.process().thaw();
}

#[tokio::test]
async fn overload_without_redis_returns_retry_after() {
    let mut redis = Redis::start().await;
    redis.kill().await;
    let (cache, row) = (Cache::builder(KEY_SPACES).open(&redis.url()).expect("a good URL"), Row::gated());
    let began = Instant::now();
    let readers: Vec<_> = (0..40).map(|n| other_reader(&cache, &row, n)).collect();
    let (mut crowded, mut slow) = (0, 0);
    for reader in readers {
        match reader.await.expect("no panic").expect_err("the database does not answer") {
            ReadError::Crowded { retry_after } => {
                assert!((1_000..=3_000).contains(&retry_after.as_millis()), "{retry_after:?}");
                crowded += 1;
            }
            ReadError::TooSlow(_) => slow += 1,
            error => panic!("{error}"),
        }
    }
    // Eight load at once; those who come next may have taken their places in the moment in which they were given up.
    assert!(slow >= 8 && crowded >= 24, "{slow} were too slow, {crowded} sent away");
    assert!(began.elapsed() < Duration::from_secs(30), "after twice 3 s: {:?}", began.elapsed());
    row.open();
    eventually("a value", TIMEOUT, async || try_read(&cache, &row).await.ok()).await;
}

#[tokio::test]
async fn process_that_starts_with_a_full_redis_keeps_its_memory() {
    let redis = Redis::start().await;
    let row = Row::new();
    read(&cache(&redis).await, &row).await;
    redis.cmd::<String>("CONFIG SET maxmemory 1").await;
    let cache = cache(&redis).await;
    // Three heartbeats; on a busy machine the link is late at times.
    let stays = async || {
        let from_memory = async || (read(&cache, &row).await.1 == Source::Local).then_some(());
        eventually("memory to answer", TIMEOUT, from_memory).await;
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(1_200) {
            if read(&cache, &row).await.1 != Source::Local {
                return None;
            }
            tokio::time::sleep(Duration::from_millis(5)).await; // readers come all the time
        }
        Some(())
    };
    eventually("memory to answer for as long", TIMEOUT, stays).await;
    assert_eq!(row.loads(), 1, "it was read from Redis");
}

#[test]
fn bad_url_is_rejected() {
    let runtime = tokio::runtime::Runtime::new().expect("threads");
    let _inside = runtime.enter();
    for url in ["", "localhost"] {
        assert!(
            matches!(Cache::builder(KEY_SPACES).open(url), Err(examhall_cache::Error::Redis(error)) if error.is_bad_url()),
            "{url}"
        );
    }
}
