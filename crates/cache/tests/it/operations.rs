//! Each operation of the public API.

use std::{collections::BTreeSet, sync::Mutex};

use examhall_cache::Coding;
use examhall_testkit::eventually;

use super::*;

#[tokio::test]
async fn first_read_loads_and_later_reads_hit() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    assert_eq!(read(&cache, &row).await, (0, Source::Loaded));
    for _ in 0..100 {
        assert!(read(&cache, &row).await.1.is_hit());
    }
    assert_eq!(row.loads(), 1);
    let life: i64 = redis.cmd(&format!("PTTL exam:{}", KEY.0)).await;
    assert!((3_240_000 - 60_000..=3_600_000).contains(&life), "1 h less a tenth at most: {life}");
    eventually("the memory to answer", TIMEOUT, async || (read(&cache, &row).await.1 == Source::Local).then_some(()))
        .await;
}

#[tokio::test]
async fn each_level_works_alone() {
    let redis = Redis::start().await;
    let only_redis = Cache::builder(KEY_SPACES).redis_only().open(&redis.url()).expect("a good URL");
    only_redis.ready().await.expect("connected");
    for (cache, level) in
        [(only_redis, Source::Redis), (Cache::builder(KEY_SPACES).local_only().expect("good options"), Source::Local)]
    {
        let row = Row::new();
        assert_eq!(read(&cache, &row).await, (0, Source::Loaded));
        assert_eq!(read(&cache, &row).await, (0, level));
        row.change();
        forget(&cache).await;
        assert_eq!(read(&cache, &row).await, (1, Source::Loaded));
        assert_eq!((read(&cache, &row).await, row.loads()), ((1, level), 2));
        forget(&cache).await;
    }
}

#[tokio::test]
async fn many_keys_are_loaded_in_one_call() {
    // Loads wait for each other for 30 ms, which a busy machine may exceed.
    eventually("one call per read", TIMEOUT, async || (calls_of_two_reads().await == 2).then_some(())).await;
}

async fn calls_of_two_reads() -> usize {
    let redis = Redis::start().await;
    let (one, other) = (cache(&redis).await, cache(&redis).await);
    let keys: Vec<_> = (1..=50).map(|n| ExamKey(ExamId(uuid::Uuid::from_u128(n)))).collect();
    let asked = Arc::new(Mutex::new(Vec::<Vec<ExamKey>>::new()));
    let read = async |cache: &Cache, keys: &[ExamKey]| {
        let asked = Arc::clone(&asked);
        let load = move |wanted: Vec<ExamKey>| {
            asked.lock().expect("no panic").push(wanted.clone());
            async move {
                let found = wanted.into_iter().filter(|key| key.0.0.as_u128() != 13);
                let fresh = |key: ExamKey| {
                    let version = u32::try_from(key.0.0.as_u128()).expect("small");
                    (key, Fresh::new(version.into(), access(), exam(version)))
                };
                Ok::<_, Away>(found.map(fresh).collect())
            }
        };
        let read = cache.get_many_or_load(keys, load).await.expect("read");
        read.into_iter().map(|(cached, _)| cached.map(|cached| cached.version())).collect::<Vec<_>>()
    };
    let version = |n: i64| (n != 13).then_some(n);
    assert_eq!(read(&one, &keys[..20]).await, (1..=20).map(version).collect::<Vec<_>>());
    assert_eq!(read(&other, &keys).await, (1..=50).map(version).collect::<Vec<_>>());
    let asked = asked.lock().expect("no panic").clone();
    let all: BTreeSet<_> = asked.iter().flatten().map(|key| key.0).collect();
    assert_eq!((asked.iter().map(Vec::len).sum::<usize>(), all.len()), (50, 50), "each key once, in all: {asked:?}");
    asked.len()
}

#[tokio::test]
async fn stored_bytes_are_sent_in_each_coding() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    read(&one, &row).await;
    let cached = other.get(&KEY).await.expect("stored");
    assert_eq!(cached.head(), &access());
    let gzip = cached.compressed(Coding::Gzip).expect("2 KB are worth it");
    assert!(gzip.starts_with(&[0x1f, 0x8b]) && gzip.len() < cached.body().len());
}

#[tokio::test]
async fn keys_carry_their_prefix() {
    let redis = Redis::start().await;
    let (blue, row) = (Cache::builder(KEY_SPACES).prefix("blue:").open(&redis.url()).expect("a good URL"), Row::new());
    blue.ready().await.expect("connected");
    read(&blue, &row).await;
    assert_eq!(redis.cmd::<i64>(&format!("EXISTS blue:exam:{}", KEY.0)).await, 1);
    assert_eq!(read(&cache(&redis).await, &row).await.1, Source::Loaded);
    row.change();
    blue.after_commit(uuid::Uuid::nil(), &[format!("exam:{}", KEY.0)]).await;
    assert_eq!(read(&blue, &row).await.0, 1, "keys of commits are given without it");
}

#[tokio::test]
async fn key_is_warmed_by_one_process_and_stays_pinned() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    read(&one, &row).await;
    let hours = Duration::from_hours;
    let done = tokio::join!(warm(&one, &row, hours(4)), warm(&other, &row, hours(4)));
    assert_eq!((u8::from(done.0) + u8::from(done.1), row.loads()), (1, 2), "though it was fresh");
    assert!(!warm(&one, &row, hours(4)).await && !warm(&other, &row, hours(4)).await, "it stays for so long");
    let life: i64 = redis.cmd(&format!("PTTL exam:{}", KEY.0)).await;
    let fresh = life - i64::try_from(ExamKey::LIFE.stale_on_error.as_millis()).expect("small");
    let pin = 5 * 3_600_000;
    assert!((pin - 60_000..=pin).contains(&fresh), "it counts as fresh for all of its pin: {life}");
    assert!(read(&other, &row).await.1.is_hit());
    assert!(warm(&other, &row, hours(6)).await, "it does not stay for so long");
    row.change();
    forget(&other).await;
    assert_eq!(read(&one, &row).await.0, 1, "what is pinned can be invalidated");
}

/// Warms the key, pinned for five hours. Returns whether it has loaded.
async fn warm(cache: &Cache, row: &Row, lasting: Duration) -> bool {
    let row = row.clone();
    let load = move || async move {
        let pin = Some(Duration::from_hours(5));
        Ok::<_, Away>(row.load().await?.map(|fresh| Fresh { pin, ..fresh }))
    };
    cache.warm(&KEY, lasting, load).await.expect("a good key")
}

#[tokio::test]
async fn failed_or_invalidated_warming_is_repeated() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    let lasting = Duration::from_hours(4);
    row.fails.store(1, Ordering::SeqCst);
    assert!(!warm(&one, &row, lasting).await, "its load fails");
    row.fails.store(0, Ordering::SeqCst);
    assert!(warm(&other, &row, lasting).await);
    assert_eq!(row.loads(), 2);
    row.change();
    forget(&one).await;
    assert!(warm(&one, &row, lasting).await, "after a change");
    assert_eq!((read(&other, &row).await, row.loads()), ((1, Source::Redis), 3), "and nobody else loads");
}

#[tokio::test]
async fn warming_of_a_dead_process_is_taken_over() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::gated());
    let lasting = Duration::from_hours(4);
    let (dying, of_it) = (one.clone(), row.clone());
    let warming = tokio::spawn(async move { warm(&dying, &of_it, lasting).await });
    row.loading().await;
    warming.abort(); // with its lease
    row.open();
    eventually("another to warm it", TIMEOUT, async || warm(&other, &row, lasting).await.then_some(())).await;
    assert_eq!((read(&one, &row).await, row.loads()), ((0, Source::Redis), 2));
}

#[tokio::test]
async fn value_near_its_soft_end_is_refreshed_in_background() {
    let redis = Redis::start().await;
    let (cache, row) = (Cache::builder(KEY_SPACES).redis_only().open(&redis.url()).expect("a good URL"), Row::new());
    cache.ready().await.expect("connected");
    read(&cache, &row).await;
    row.change();
    let key = format!("exam:{}", KEY.0);
    redis.cmd::<i64>(&format!("PEXPIRE {key} 1500000")).await; // 25 of 60 minutes left, 5 less than the soft half
    assert_eq!(read(&cache, &row).await, (0, Source::Redis), "nobody waits");
    eventually("the new value", TIMEOUT, async || (read(&cache, &row).await == (1, Source::Redis)).then_some(())).await;
    assert_eq!(row.loads(), 2);
}
