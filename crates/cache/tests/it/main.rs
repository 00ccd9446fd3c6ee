//! Tests of the crate's public face, each on a redis-server of its own.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use examhall_cache::{Cache, Fresh, Source};
use examhall_core::{Profile, ProfileKey, Role, UserId};
use examhall_testkit::{Redis, eventually};
use tokio::sync::Semaphore;

const KEY: ProfileKey = ProfileKey(UserId(uuid::Uuid::nil()));

/// The database of these tests: one row, and how often it was read.
#[derive(Clone, Default)]
struct Row {
    version: Arc<AtomicU32>,
    loads: Arc<AtomicU32>,
}

impl Row {
    fn read(&self) -> Fresh<ProfileKey> {
        self.loads.fetch_add(1, Ordering::SeqCst);
        let version = self.version.load(Ordering::SeqCst);
        let value = Profile { id: KEY.0, name: format!("version {version}"), role: Role::Student };
        Fresh { version: version.into(), head: (), value }
    }

    fn loads(&self) -> u32 {
        self.loads.load(Ordering::SeqCst)
    }
}

async fn cache(redis: &Redis) -> Cache {
    let cache = Cache::open(&redis.url(), "").expect("a good URL");
    cache.ready().await.expect("connected");
    cache
}

async fn read(cache: &Cache, row: &Row) -> (i64, Source) {
    let (cached, source) =
        cache.get_or_load(&KEY, async || Ok::<_, serde_json::Error>(row.read())).await.expect("read");
    let body = format!(r#"{{"id":"{}","name":"version {}","role":"student"}}"#, KEY.0, cached.version);
    assert_eq!(cached.body, body);
    (cached.version, source)
}

#[tokio::test]
async fn the_first_read_loads_and_the_others_hit() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::default());
    assert_eq!(read(&cache, &row).await, (0, Source::Miss));
    for _ in 0..100 {
        assert_eq!(read(&cache, &row).await, (0, Source::Hit));
    }
    assert_eq!(row.loads(), 1);
    let key = format!("user:{}:profile", KEY.0);
    let life: i64 = redis.cmd(&format!("PTTL {key}")).await;
    assert!((3_240_000 - 60_000..=3_600_000).contains(&life), "1 h less a tenth at most: {life}");
}

#[tokio::test]
async fn readers_at_once_in_two_processes_load_once() {
    let redis = Redis::start().await;
    let (caches, row, gate) = ([cache(&redis).await, cache(&redis).await], Row::default(), Arc::new(Semaphore::new(0)));
    let readers: Vec<_> = (0..200)
        .map(|n: usize| {
            let (cache, row, gate) = (caches[n % 2].clone(), row.clone(), Arc::clone(&gate));
            tokio::spawn(async move {
                let load = async || {
                    gate.acquire().await.expect("open").forget();
                    Ok::<_, serde_json::Error>(row.read())
                };
                cache.get_or_load(&KEY, load).await.map(|(cached, _)| cached.version)
            })
        })
        .collect();
    gate.add_permits(200);
    for reader in readers {
        assert_eq!(reader.await.expect("no panic").expect("read"), 0);
    }
    assert_eq!(row.loads(), 1);
}

#[tokio::test]
async fn after_a_deletion_the_new_value_is_read() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::default());
    read(&cache, &row).await;
    row.version.store(1, Ordering::SeqCst);
    cache.delete(&KEY).await.expect("deleted");
    assert_eq!(read(&cache, &row).await, (1, Source::Miss));
    assert_eq!(read(&cache, &row).await, (1, Source::Hit));
}

#[tokio::test]
async fn what_was_read_before_a_change_is_not_stored_after_it() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::default());
    let load = async || {
        let old = row.read();
        row.version.store(1, Ordering::SeqCst);
        cache.delete(&KEY).await.expect("deleted while the load is on its way");
        Ok::<_, serde_json::Error>(old)
    };
    let (cached, _) = cache.get_or_load(&KEY, load).await.expect("read");
    assert_eq!(cached.version, 0, "who asked before the change may see the old value");
    assert_eq!(read(&cache, &row).await, (1, Source::Miss), "who asks after it may not");
}

#[tokio::test]
async fn a_failed_load_is_nobody_elses() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::default());
    let failed = cache.get_or_load(&KEY, async || serde_json::from_str::<()>("x").map(|()| row.read())).await;
    assert!(failed.is_err());
    assert_eq!(read(&cache, &row).await, (0, Source::Miss), "at once: the lease was given back");
}

#[tokio::test]
async fn while_redis_is_away_everything_is_loaded_and_nothing_fails() {
    let mut redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::default());
    read(&cache, &row).await;
    redis.kill().await;
    assert_eq!(read(&cache, &row).await, (0, Source::Miss));
    assert!(cache.delete(&KEY).await.is_err());
    redis.restart().await;
    eventually("a hit", Duration::from_secs(10), async || (read(&cache, &row).await.1 == Source::Hit).then_some(()))
        .await;
}

#[tokio::test]
async fn an_entry_that_cannot_be_read_counts_as_absent() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::default());
    redis.command::<String>(&["SET", &format!("user:{}:profile", KEY.0), "9 of the next release"]).await;
    assert_eq!(read(&cache, &row).await, (0, Source::Miss));
}

#[tokio::test]
async fn keys_carry_the_prefix() {
    let redis = Redis::start().await;
    let cache = Cache::open(&redis.url(), "blue:").expect("a good URL");
    cache.ready().await.expect("connected");
    read(&cache, &Row::default()).await;
    assert_eq!(redis.cmd::<i64>(&format!("EXISTS blue:user:{}:profile", KEY.0)).await, 1);
}
