//! Options of single reads, lives from loaders, and codecs.

use std::time::Instant;

use examhall_cache::{CacheValue, Cached, ReadOptions};
use examhall_testkit::eventually;

use super::*;

/// A key of values that are stale for half an hour before they end.
#[derive(Clone, PartialEq)]
struct StaleKey;

impl CacheKey for StaleKey {
    type Value = u32;
    type Head = ();
    const LIFE: Life = Life { stale_on_error: Duration::from_mins(30), ..Life::hours(1) };

    fn redis_key(&self) -> String {
        "user:stale".into()
    }
}

async fn value<K: CacheKey<Value = u32, Head = ()>>(cache: &Cache, key: K, loaded: u32) -> (u32, Source) {
    let load = move || async move { Ok::<_, Away>(Some(Fresh::of(loaded))) };
    let (cached, source) = cache.get_or_load(&key, load).await.expect("read");
    (cached.expect("a value").value().expect("a number"), source)
}

#[tokio::test]
async fn a_read_takes_no_value_older_than_it_says() {
    let redis = Redis::start().await;
    let local = Cache::builder(KEY_SPACES).local_only().expect("good options");
    for cache in [cache(&redis).await, local] {
        value(&cache, StaleKey, 1).await;
        tokio::time::sleep(Duration::from_millis(60)).await; // the value's age
        let young = cache.with(ReadOptions::new().max_age(Duration::from_millis(50)));
        assert!(young.get(&StaleKey).await.is_none());
        assert!(cache.with(ReadOptions::new().max_age(TIMEOUT)).get(&StaleKey).await.is_some());
        assert_eq!(value(&young, StaleKey, 2).await, (2, Source::Loaded));
        assert_eq!(value(&cache, StaleKey, 3).await.0, 2, "replaced for all readers");
        let old = cache.with(ReadOptions::new().max_age(TIMEOUT));
        assert_eq!(value(&old, StaleKey, 4).await.0, 2);
        let age = cache.get(&StaleKey).await.expect("cached").age();
        assert!(age < Duration::from_secs(30), "{age:?}");
    }
}

#[tokio::test]
async fn an_old_load_in_flight_is_not_joined() {
    let cache = Cache::builder(KEY_SPACES).local_only().expect("good options");
    let row = Row::gated();
    let first = reader(&cache, &row);
    row.loading().await;
    tokio::time::sleep(Duration::from_millis(60)).await; // the age of that load
    let young = reader(&cache.with(ReadOptions::new().max_age(Duration::from_millis(50))), &row);
    let joined = reader(&cache, &row);
    tokio::task::yield_now().await;
    row.change();
    row.open();
    assert_eq!(first.await.expect("no panic").expect("read").0, Some(0));
    assert_eq!(joined.await.expect("no panic").expect("read").0, Some(0));
    assert_eq!(young.await.expect("no panic").expect("read"), (Some(1), Source::Loaded));
}

#[tokio::test]
async fn age_is_that_of_the_load_in_every_process() {
    let redis = Redis::start().await;
    let (one, other) = (cache(&redis).await, cache(&redis).await);
    let load = || async {
        tokio::time::sleep(Duration::from_millis(100)).await; // a slow load
        Ok::<_, Away>(Some(Fresh::of(1)))
    };
    let began = Instant::now();
    one.get_or_load(&StaleKey, load).await.expect("read");
    for cache in [one, other.with(ReadOptions::new().skip_memory())] {
        let cached: Cached<StaleKey> = cache.get(&StaleKey).await.expect("cached");
        let (age, longest) = (cached.age(), began.elapsed());
        assert!(
            (Duration::from_millis(100)..=longest + Duration::from_millis(2)).contains(&age),
            "{age:?} {longest:?}"
        );
    }
}

#[tokio::test]
async fn memory_is_skipped_where_that_is_asked() {
    let redis = Redis::start().await;
    let cache = cache(&redis).await;
    let kept = async || (value(&cache, StaleKey, 1).await.1 == Source::Local).then_some(());
    eventually("the memory to answer", TIMEOUT, kept).await;
    assert_eq!(value(&cache.with(ReadOptions::new().skip_memory()), StaleKey, 2).await, (1, Source::Redis));
    assert_eq!(cache.with(ReadOptions::new()).stats(), cache.stats(), "everything else is shared");
}

#[tokio::test]
async fn stale_values_are_refused_where_that_is_asked() {
    let redis = Redis::start().await;
    let cache = Cache::builder(KEY_SPACES).redis_only().failure_ttl(Duration::from_millis(500));
    let cache = cache.open(&redis.url()).expect("good options");
    cache.ready().await.expect("connected");
    let strict = cache.with(ReadOptions::new().no_stale());
    value(&cache, StaleKey, 1).await;
    redis.cmd::<i64>("PEXPIRE user:stale 60000").await; // past its time
    let fails = || async { Err::<Option<Fresh<StaleKey>>, _>(Away) };
    let (_, source) = cache.get_or_load(&StaleKey, fails).await.expect("a stale value");
    assert_eq!(source, Source::Stale);
    assert!(cache.get(&StaleKey).await.is_some() && strict.get(&StaleKey).await.is_none());
    // While that is remembered, too.
    assert!(strict.get_or_load(&StaleKey, fails).await.is_err());
    assert_eq!(value(&strict, StaleKey, 2).await.0, 2);
}

#[tokio::test]
async fn limits_and_lives_of_a_read_prevail() {
    let redis = Redis::start().await;
    let cache = cache(&redis).await;
    let hasty = cache.with(ReadOptions::new().hard_load_limit(Duration::from_millis(20)));
    let never = || std::future::pending::<Result<Option<Fresh<StaleKey>>, Away>>();
    let error = hasty.get_or_load(&StaleKey, never).await.map(|_| ()).expect_err("too slow");
    assert!(matches!(error, ReadError::TooSlow(limit) if limit.as_millis() == 20), "{error}");
    eventually("the failure to be forgotten", TIMEOUT, async || {
        let brief = cache.with(ReadOptions::new().life(Life { hard: Duration::from_secs(90), ..StaleKey::LIFE }));
        let load = || async { Ok::<_, Away>(Some(Fresh::of(1))) };
        brief.get_or_load(&StaleKey, load).await.ok()
    })
    .await;
    let ttl: i64 = redis.cmd("PTTL user:stale").await;
    assert!((60_000..=90_000).contains(&ttl), "{ttl}");
}

#[tokio::test]
async fn a_loader_may_shorten_the_life_of_its_value() {
    let redis = Redis::start().await;
    let (cache, other) = (cache(&redis).await, cache(&redis).await);
    let local = Cache::builder(KEY_SPACES).local_only().expect("good options");
    let read = async |cache: &Cache, value: u32, life: Duration| {
        let load = move || async move { Ok::<_, Away>(Some(Fresh::of(value).lasting(life).pinned_for(TIMEOUT))) };
        let (cached, source) = cache.get_or_load(&StaleKey, load).await.expect("read");
        (cached.expect("a value").value().expect("a number"), source)
    };
    let began = Instant::now();
    let life = Duration::from_secs(1);
    for cache in [&cache, &other, &local] {
        read(cache, 1, life).await;
    }
    let ttl: i64 = redis.cmd("PTTL user:stale").await;
    assert!((1..=1_000).contains(&ttl), "{ttl}");
    while began.elapsed() < life * 3 / 2 {
        for cache in [&cache, &other, &local] {
            let asked = Instant::now();
            let (value, _) = read(cache, 2, TIMEOUT).await;
            assert!(value == 2 || asked.duration_since(began) < life + Duration::from_millis(100), "it has ended");
        }
        tokio::time::sleep(Duration::from_millis(5)).await; // the interval of a poll
    }
    assert_eq!(read(&local, 3, TIMEOUT).await, (2, Source::Local));
    cache.delete(&StaleKey).await.expect("notified");
    assert_eq!(read(&cache, 4, Duration::ZERO).await, (4, Source::Loaded));
    assert_eq!(redis.cmd::<i64>("EXISTS user:stale").await, 0, "what has ended already is not stored");
}

/// A value that serde does not know.
#[derive(Debug, PartialEq)]
struct Blob(Vec<u8>);

impl CacheValue for Blob {
    fn to_bytes(&self) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
        if self.0.is_empty() { Err("nothing to store".into()) } else { Ok(self.0.iter().rev().copied().collect()) }
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
        if bytes.contains(&7) { Err("there is a 7".into()) } else { Ok(Self(bytes.iter().rev().copied().collect())) }
    }
}

#[derive(Clone)]
struct BlobKey;

impl CacheKey for BlobKey {
    type Value = Blob;
    type Head = ();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        "user:blob".into()
    }
}

#[tokio::test]
async fn a_type_may_have_its_own_codec() {
    let redis = Redis::start().await;
    let (one, other) = (cache(&redis).await, cache(&redis).await);
    let read = async |cache: &Cache, bytes: &[u8]| {
        let value = Blob(bytes.to_vec());
        let load = move || async move { Ok::<_, Away>(Some(Fresh::<BlobKey>::of(value))) };
        cache.get_or_load(&BlobKey, load).await.map(|(cached, _)| cached.expect("a value"))
    };
    let error = read(&one, &[]).await.map(|_| ()).expect_err("no bytes");
    assert_eq!(error.to_string(), "nothing to store");
    let stored = [0, 255, 10, 1].repeat(500);
    let cached = eventually("the failure to be forgotten", TIMEOUT, async || read(&one, &stored).await.ok()).await;
    assert_eq!(cached.body(), &[1, 10, 255, 0].repeat(500));
    assert!(cached.compressed(examhall_cache::Coding::Gzip).is_none(), "not asked for");
    assert_eq!(read(&other, b"another").await.expect("read").value().expect("good bytes"), Blob(stored));
    other.delete(&BlobKey).await.expect("notified");
    let cached = eventually("the new value", TIMEOUT, async || {
        Some(read(&one, &[7]).await.expect("read")).filter(|cached| cached.body().len() == 1)
    });
    assert_eq!(
        cached.await.value().expect_err("bad bytes").to_string(),
        "the cached bytes are of no such value: there is a 7"
    );
}
