//! A Redis that is stopped (SIGSTOP): it keeps its connections and answers nothing.

use std::time::Instant;

use examhall_testkit::eventually;

use super::*;

#[tokio::test]
async fn first_cold_call_waits_50_ms_for_a_frozen_redis() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    let quick = async || {
        redis.process().freeze();
        let (began, waited) = (Instant::now(), waited_for_cpu());
        read_cold(&cache, &row).await;
        let took = began.elapsed();
        let is_busy = waited_for_cpu().saturating_sub(waited) * 3 > took; // then Redis may be slow, and a call waits longer
        redis.process().thaw();
        until_used(&cache, &row).await;
        (took <= Duration::from_millis(if is_busy { 400 } else { 50 })).then_some(())
    };
    eventually("a cold call that takes 50 ms", TIMEOUT, quick).await;
}

/// How long tasks of this machine have waited for a CPU; zero where it does not say so.
fn waited_for_cpu() -> Duration {
    let pressure = std::fs::read_to_string("/proc/pressure/cpu").unwrap_or_default();
    let total = pressure.lines().next().and_then(|line| line.rsplit_once("total=")?.1.parse().ok());
    Duration::from_micros(total.unwrap_or(0))
}

#[tokio::test]
async fn calls_after_the_first_do_not_wait_for_a_frozen_redis() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    redis.process().freeze();
    read_cold(&cache, &row).await;
    let began = Instant::now();
    for _ in 0..100 {
        read_cold(&cache, &row).await;
        assert!(cache.get(&KEY).await.is_none());
    }
    assert!(began.elapsed() < Duration::from_secs(2), "200 calls took {:?}", began.elapsed());
}

#[tokio::test]
async fn redis_is_used_again_within_2_s_of_a_freeze() {
    let redis = Redis::start().await;
    let (caches, row) = ([cache(&redis).await, cache(&redis).await, cache(&redis).await], Row::new());
    let freezes: &[u64] = if std::env::var_os("EXAMHALL_LONG").is_some() { &[1, 3, 6, 14] } else { &[3] };
    let mut lags = Vec::new();
    for seconds in freezes {
        redis.process().freeze();
        let frozen = Instant::now();
        while frozen.elapsed() < Duration::from_secs(*seconds) {
            for cache in &caches {
                read_cold(cache, &row).await;
            }
            tokio::time::sleep(Duration::from_millis(50)).await; // readers come all the time
        }
        redis.process().thaw();
        let thawed = Instant::now();
        for cache in &caches {
            until_used(cache, &row).await;
            lags.push(thawed.elapsed());
        }
    }
    mostly_within(Duration::from_secs(2), lags);
}

/// Reads a key that nobody has read.
async fn read_cold(cache: &Cache, row: &Row) -> Source {
    let (key, row) = (ExamKey(ExamId(uuid::Uuid::from_u128(u128::from(row.loads()) + 1))), row.clone());
    cache.get_or_load(&key, move || row.load()).await.expect("read").1
}

async fn until_used(cache: &Cache, row: &Row) {
    let used = async || (read_cold(cache, row).await == Source::Loaded).then_some(());
    eventually("Redis to be used again", TIMEOUT, used).await;
}
