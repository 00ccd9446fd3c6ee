//! A Redis that is slow, and one that Sentinel replaces.

use examhall_testkit::{Process, Proxy, RedisOptions, eventually, free_port};
use tokio::process::Command;

use super::*;

#[tokio::test]
async fn a_slow_redis_is_soon_not_waited_for_and_used_again_once_it_is_fast() {
    let redis = Redis::start().await;
    let proxy = Proxy::start(redis.port()).await;
    let (cache, row) = (at(&format!("redis://127.0.0.1:{}", proxy.port())).await, Row::new());
    read(&cache, &row).await;
    proxy.delay(Duration::from_secs(5));
    // Only the first ones wait: once the breaker is open, a read that memory does not answer goes to the database.
    eventually("Redis to be left alone", PATIENCE, async || {
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
    eventually("Redis to be used again", PATIENCE, back).await;
}

#[tokio::test]
async fn a_change_made_while_sentinel_chooses_another_master_is_seen_by_all() {
    let mut master = Redis::start().await;
    let args = vec!["--replicaof".into(), "127.0.0.1".into(), master.port().to_string()];
    let replica = Redis::start_with(RedisOptions { args, ..RedisOptions::default() }).await;
    let follows = async || {
        let told = replica.cmd::<String>("INFO replication").await;
        told.contains("master_link_status:up").then_some(())
    };
    eventually("the replica to follow", PATIENCE, follows).await;
    let (port, folder) = (free_port(), std::env::temp_dir().join(format!("sentinel-{}", uuid::Uuid::new_v4())));
    std::fs::create_dir(&folder).expect("a folder");
    let config = folder.join("sentinel.conf");
    let text = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {} 1\n\
         sentinel down-after-milliseconds mymaster 1000\nsentinel failover-timeout mymaster 5000\n",
        master.port()
    );
    std::fs::write(&config, text).expect("written");
    let sentinel =
        Process::spawn("sentinel", Command::new(examhall_testkit::redis_server()).arg(&config).arg("--sentinel"));
    sentinel.line("+slave slave").await;
    let url = format!("redis-sentinel://127.0.0.1:{port}?sentinelServiceName=mymaster");
    let (one, other, row) = (at(&url).await, at(&url).await, Row::new());
    read(&one, &row).await;
    let key = format!("exam:{}", KEY.0);
    let copied = async || (replica.cmd::<i64>(&format!("EXISTS {key}")).await == 1).then_some(());
    eventually("the value to be copied", PATIENCE, copied).await;

    master.kill().await;
    row.change();
    assert!(one.delete(&KEY).await.is_err(), "the replica still has the old value, and nobody takes it away");
    assert_eq!(read(&one, &row).await.0, 1, "an own write is seen");
    for cache in [&one, &other] {
        let back = async || {
            let (version, source) = read(cache, &row).await;
            (version == 1 && matches!(source, Source::Redis | Source::Loaded)).then_some(())
        };
        eventually("the new master to be used", PATIENCE, back).await;
    }
    let agrees = async || {
        let stored = one.get(&KEY).await.map(|cached| cached.version());
        (stored != Some(0)).then_some(())
    };
    eventually("nothing old in Redis", PATIENCE, agrees).await;
    drop(sentinel);
    drop(std::fs::remove_dir_all(folder));
}
