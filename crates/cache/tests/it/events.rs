//! The stream of events, and the counts of a cache.

use examhall_cache::{Event, Events, Rejection, Stats, Trust};
use examhall_testkit::eventually;

use super::*;

/// Waits for an event; passes over others.
async fn wait_for(events: &mut Events, what: &str, is_it: impl Fn(&Event) -> bool) {
    let found = async { while !is_it(&events.next().await.expect("the stream goes on")) {} };
    tokio::time::timeout(TIMEOUT, found).await.expect(what);
}

#[tokio::test]
async fn events_report_loads_values_and_invalidations() {
    let redis = Redis::start().await;
    let (cache, row, name) = (cache(&redis).await, Row::new(), format!("exam:{}", KEY.0));
    let mut events = cache.events();
    read(&cache, &row).await;
    forget(&cache).await;
    let is_of = |keys: &[String]| *keys == [name.clone()];
    wait_for(
        &mut events,
        "an invalidation",
        |event| matches!(event, Event::Invalidated { keys, origin: "delete", is_confirmed: true } if is_of(keys)),
    )
    .await;
    let invalidation = cache.invalidation(&[KEY]).await.expect("a good key");
    invalidation.committed().await;
    for origin in ["mark", "commit"] {
        let is_it = |event: &Event| matches!(event, Event::Invalidated { origin: of, .. } if *of == origin);
        wait_for(&mut events, origin, is_it).await;
    }
    row.fails.store(1, Ordering::SeqCst);
    assert!(try_read(&cache, &row).await.is_err());
    wait_for(&mut events, "a failed load", |event| {
        matches!(event, Event::LoadFailed { key, error } if **key == *name && error.of_loader::<Away>().is_some())
    })
    .await;
    row.fails.store(0, Ordering::SeqCst);
    eventually("the failure to be forgotten", TIMEOUT, async || try_read(&cache, &row).await.ok()).await;
    redis.cmd::<i64>(&format!("PEXPIRE {name} 500000")).await; // past its time
    row.fails.store(1, Ordering::SeqCst);
    let stale = async || (try_read(&cache, &row).await.ok()?.1 == Source::Stale).then_some(());
    eventually("a stale answer", TIMEOUT, stale).await;
    wait_for(&mut events, "a stale answer", |event| matches!(event, Event::StaleServed { .. })).await;
    row.fails.store(0, Ordering::SeqCst);
    for (bytes, reason) in [("x", Rejection::Unreadable), ("9 1 of the next release", Rejection::Newer)] {
        redis.set(&name, bytes.as_bytes().to_vec()).await;
        eventually("the value to be loaded", TIMEOUT, async || {
            (!try_read(&cache, &row).await.ok()?.1.is_hit()).then_some(())
        })
        .await;
        let is_it = |event: &Event| matches!(event, Event::EntryRejected { reason: of, .. } if *of == reason);
        wait_for(&mut events, "a rejected entry", is_it).await;
    }
}

#[tokio::test]
async fn events_report_an_outage_of_redis_and_its_end() {
    let mut redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    let stored = async || {
        read(&cache, &row).await;
        (redis.cmd::<i64>(&format!("EXISTS exam:{}", KEY.0)).await == 1).then_some(())
    };
    eventually("Redis to be trusted", TIMEOUT, stored).await;
    // Trusted while somebody listens: a busy machine may have lost it meanwhile, which is no event of its own then.
    let mut events = eventually("trust", TIMEOUT, async || {
        let events = cache.events();
        (cache.status().servers[0].trust == Trust::Trusted).then_some(events)
    })
    .await;
    redis.kill().await;
    wait_for(&mut events, "the loss", |event| matches!(event, Event::TrustChanged(Trust::Lost))).await;
    redis.restart().await;
    wait_for(&mut events, "trust", |event| matches!(event, Event::TrustChanged(Trust::Trusted))).await;
    let mut others = cache.events();
    redis.cmd::<String>("FLUSHALL").await;
    wait_for(&mut others, "a flush", |event| matches!(event, Event::MemoryCleared { cause: "flushed" })).await;
    redis.process().freeze();
    let reads = async {
        loop {
            cache.get(&ExamKey(ExamId(uuid::Uuid::new_v4()))).await;
            tokio::task::yield_now().await; // with an open circuit it answers at once
        }
    };
    tokio::select! {
        () = wait_for(&mut others, "an open circuit", |event| matches!(event, Event::CircuitOpened)) => {}
        () = reads => {}
    }
    redis.process().thaw();
    wait_for(&mut others, "a closed circuit", |event| matches!(event, Event::CircuitClosed)).await;
}

#[tokio::test]
async fn a_slow_reader_of_events_learns_what_it_missed() {
    let cache = Cache::builder(KEY_SPACES).local_only().expect("good options");
    let mut events = cache.events();
    for _ in 0..600 {
        cache.delete(&KEY).await.expect("in memory");
    }
    assert!(matches!(events.next().await, Some(Event::Missed(88))), "it holds 512");
    assert!(matches!(events.next().await, Some(Event::Invalidated { .. })));
    drop(cache);
    let mut left = 0;
    while events.next().await.is_some() {
        left += 1;
    }
    assert_eq!(left, 511, "and then it ends");
}

#[tokio::test]
async fn counts_are_there_without_a_recorder() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::gated());
    assert_eq!(cache.stats(), Stats::default());
    let waiting = [reader(&cache, &row), reader(&cache, &row)];
    row.loading().await;
    eventually("both to wait", TIMEOUT, async || (cache.stats().waiting == 2).then_some(())).await;
    row.open();
    for reader in waiting {
        reader.await.expect("no panic").expect("read");
    }
    let local = async || (read(&cache, &row).await.1 == Source::Local).then_some(());
    eventually("the memory to answer", TIMEOUT, local).await;
    let stats = cache.stats();
    assert_eq!((stats.loaded, stats.joined, stats.loads, stats.failed_loads), (1, 1, 1, 0), "{stats:?}");
    assert!(stats.memory_hits == 1 && stats.entries == 1 && stats.bytes > 2_000 && stats.waiting == 0, "{stats:?}");
    assert_eq!(stats.reads(), 2 + stats.memory_hits + stats.redis_hits, "{stats:?}");
    forget(&cache).await;
    row.fails.store(1, Ordering::SeqCst);
    assert!(try_read(&cache, &row).await.is_err());
    let stats = cache.stats();
    assert_eq!((stats.errors, stats.failed_loads, stats.entries), (1, 1, 0), "{stats:?}");
}
