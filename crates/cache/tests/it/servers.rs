//! A slow Redis, a Sentinel failover.

use examhall_testkit::{Proxy, Sentinel, eventually};

use super::*;

/// A Sentinel that was without time for a while does nothing for 30 s.
const SENTINEL_TIMEOUT: Duration = Duration::from_mins(2);

#[tokio::test]
async fn slow_redis_opens_the_circuit_until_it_is_fast() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.port()).await;
    let (cache, row) = (at(&format!("redis://127.0.0.1:{}", proxy.port())).await, Row::new());
    read(&cache, &row).await;
    proxy.delay(Duration::from_secs(5));
    // Only the first ones wait: once the breaker is open, a read that memory does not answer goes to the database.
    eventually("the circuit of Redis to open", TIMEOUT, async || {
        cache.delete(&KEY).await.err()?;
        (read(&cache, &row).await.1 == Source::Bypass).then_some(())
    })
    .await;
    for _ in 0..1_000 {
        assert_eq!(read(&cache, &row).await.0, 0, "and no read fails");
    }
    row.change();
    assert!(cache.delete(&KEY).await.is_err());
    assert_eq!(read(&cache, &row).await.0, 1, "an own write is seen");
    proxy.delay(Duration::ZERO);
    let back = async || {
        let (version, source) = read(&cache, &row).await;
        assert_eq!(version, 1, "never the old one");
        matches!(source, Source::Redis | Source::Loaded).then_some(())
    };
    eventually("Redis to be used again", TIMEOUT, back).await;
}

#[tokio::test]
async fn change_during_a_sentinel_failover_is_seen_by_all() {
    let mut master = Redis::start().await;
    let sentinel = Sentinel::watch(&master).await;
    let (replica, url) = (&sentinel.replica, sentinel.url());
    let (one, other, row) = (at(&url).await, at(&url).await, Row::new());
    read(&one, &row).await;
    let key = format!("exam:{}", KEY.0);
    let copied = async || (replica.cmd::<i64>(&format!("EXISTS {key}")).await == 1).then_some(());
    eventually("the value to be copied", TIMEOUT, copied).await;

    master.kill().await;
    row.change();
    assert!(one.delete(&KEY).await.is_err(), "the replica still has the old value, and nobody takes it away");
    assert_eq!(read(&one, &row).await.0, 1, "an own write is seen");
    for cache in [&one, &other] {
        let back = async || {
            let (version, source) = read(cache, &row).await;
            (version == 1 && matches!(source, Source::Redis | Source::Loaded)).then_some(())
        };
        eventually("the new master to be used", SENTINEL_TIMEOUT, back).await;
    }
    let agrees = async || {
        let stored = one.get(&KEY).await.map(|cached| cached.version());
        (stored != Some(0)).then_some(())
    };
    eventually("nothing old in Redis", TIMEOUT, agrees).await;
}
