//! The guard of a commit: however its caller ends, no mark and no old value stays.

use std::{future::Future, pin::pin, task::Poll, time::Instant};

use examhall_cache::Error;
use examhall_testkit::eventually;

use super::*;

/// Most of a mark's 10 s: what is gone earlier was cleared.
const SOON: Duration = Duration::from_secs(8);

async fn is_marked(redis: &Redis) -> bool {
    redis.cmd::<i64>(&format!("ZCOUNT cm:{{exam:{}}} 0 +inf", KEY.0)).await == 1
}

async fn cleared(redis: &Redis, since: Instant) {
    eventually("the mark to be cleared", TIMEOUT, async || (!is_marked(redis).await).then_some(())).await;
    assert!(since.elapsed() < SOON, "it has ended by itself: {:?}", since.elapsed());
}

/// Marks the key; a busy machine may exceed the time limit of 50 ms.
async fn marked(redis: &Redis, cache: &Cache) -> examhall_cache::Invalidation {
    let mark = async || {
        let invalidation = cache.invalidation(&[KEY]).await.expect("a good key");
        is_marked(redis).await.then_some(invalidation)
    };
    eventually("the key to be marked", TIMEOUT, mark).await
}

#[tokio::test]
async fn a_change_is_seen_after_its_commit() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    for is_committed in [true, false] {
        read(&other, &row).await;
        let before = row.version.load(Ordering::SeqCst);
        let invalidation = marked(&redis, &one).await;
        let bypassed = async || {
            let (version, source) = read(&other, &row).await;
            assert_eq!(version, i64::from(before));
            assert_ne!(source, Source::Loaded, "nothing is stored meanwhile");
            (source == Source::Bypass).then_some(())
        };
        eventually("the other process to hear of it", LATE, bypassed).await;
        let ended = if is_committed {
            row.change();
            invalidation.committed().await
        } else {
            invalidation.rolled_back().await
        };
        let now = i64::from(row.version.load(Ordering::SeqCst));
        assert_eq!(read(&one, &row).await.0, now);
        let seen = async || (read(&other, &row).await.0 == now).then_some(());
        eventually("the other process to see it", LATE, seen).await;
        assert!(!ended || !is_marked(&redis).await);
    }
}

#[tokio::test]
async fn dropped_and_cancelled_guards_leave_no_mark() {
    let redis = Redis::start().await;
    let cache = cache(&redis).await;
    let began = Instant::now();
    drop(marked(&redis, &cache).await);
    cleared(&redis, began).await;

    let (caller, began) = (cache.clone(), Instant::now());
    let cancelled = tokio::spawn(async move {
        let never = async || {
            std::future::pending::<()>().await;
            Ok::<_, Error>(())
        };
        caller.change(&[KEY], never).await
    });
    eventually("the key to be marked", TIMEOUT, async || is_marked(&redis).await.then_some(())).await;
    cancelled.abort();
    cleared(&redis, began).await;

    let (invalidation, began) = (marked(&redis, &cache).await, Instant::now());
    poll_once(invalidation.committed()).await;
    cleared(&redis, began).await;

    let began = Instant::now();
    poll_once(cache.invalidation(&[KEY])).await; // its mark may be in flight
    cleared(&redis, began).await;
}

/// Begins a future, and drops it.
async fn poll_once<T>(future: impl Future<Output = T>) {
    let mut future = pin!(future);
    std::future::poll_fn(|context| {
        let _ = future.as_mut().poll(context);
        Poll::Ready(())
    })
    .await;
}

#[tokio::test]
async fn a_commit_that_happens_after_its_guard_was_dropped_is_seen() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    let began = Instant::now();
    drop(marked(&redis, &one).await); // its caller was cancelled
    cleared(&redis, began).await;
    let stored = async || (read(&other, &row).await.1 == Source::Loaded).then_some(());
    eventually("the old value to be stored", TIMEOUT, async || {
        forget(&other).await;
        stored().await
    })
    .await;
    row.change(); // and its commit went on
    for cache in [&one, &other] {
        eventually("it to be seen", TIMEOUT, async || (read(cache, &row).await.0 == 1).then_some(())).await;
    }
    assert!(began.elapsed() < Duration::from_secs(40), "not by the end of its life");
}

#[tokio::test]
async fn a_failed_commit_is_an_unknown_outcome() {
    let redis = Redis::start().await;
    let (cache, row, began) = (cache(&redis).await, Row::new(), Instant::now());
    read(&cache, &row).await;
    let names = [KEY.redis_key(), "user:7:profile".to_owned()]; // of several types
    let lost = async || {
        row.change(); // the commit has happened, and its answer was lost
        Err::<(), _>(anyhow::anyhow!("connection lost"))
    };
    assert_eq!(cache.change(&names, lost).await.expect_err("fails").to_string(), "connection lost");
    assert_eq!(read(&cache, &row).await.0, 1);
    cleared(&redis, began).await;
    assert_eq!(cache.change(&names, async || anyhow::Ok(7)).await.expect("commits"), 7);
}
