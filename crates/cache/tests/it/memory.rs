//! Memory of the process: it grows by what the limit says, whatever the values are read from.

use examhall_testkit::alone;
use futures_util::future::join_all;

use super::*;

const LIMIT: u64 = 8 * 1024 * 1024;
const SMALL: u32 = 12_000;
const LARGE: u32 = 400;

/// One that memory keeps.
#[derive(Clone)]
struct KeptKey(u32);

impl CacheKey for KeptKey {
    type Value = String;
    type Head = ();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        format!("user:{}", self.0)
    }
}

/// One that is read from Redis each time.
#[derive(Clone)]
struct UnkeptKey;

impl CacheKey for UnkeptKey {
    type Value = String;
    type Head = ();
    const LIFE: Life = Life { local: Duration::ZERO, ..Life::hours(1) };

    fn redis_key(&self) -> String {
        "exam:long".into()
    }
}

#[tokio::test]
async fn resident_memory_grows_by_the_limit() {
    if !alone("memory::resident_memory_grows_by_the_limit") {
        return;
    }
    let redis = Redis::start().await;
    let cache = Cache::builder(KEY_SPACES).local_bytes(LIMIT).open(&redis.url()).expect("a good URL");
    let writer = Cache::builder(KEY_SPACES).redis_only().open(&redis.url()).expect("a good URL");
    for cache in [&cache, &writer] {
        cache.ready().await.expect("connected");
    }
    for (source, bytes) in [
        (read_text(&writer, UnkeptKey, 9_000).await, "9 KB"),
        (read_text(&writer, KeptKey(0), 200).await, "small"),
        (read_text(&writer, KeptKey(SMALL), 60_000).await, "large"),
    ] {
        assert_eq!(source, Source::Loaded, "{bytes}");
    }
    let copy = format!(
        "for n = 1, {SMALL} - 1 do redis.call('COPY', 'user:0', 'user:' .. n) end
         for n = {SMALL} + 1, {SMALL} + {LARGE} - 1 do redis.call('COPY', 'user:{SMALL}', 'user:' .. n) end"
    );
    redis.command::<Option<i64>>(&["EVAL", &copy, "0"]).await;
    assert_eq!(read_text(&cache, UnkeptKey, 0).await, Source::Redis);

    let (cache, before, mut from_redis) = (&cache, resident(), 0);
    for first in (0..SMALL).step_by(8) {
        // The small ones arrive in the same buffers as long ones, which are let go.
        let small = join_all((first..first + 8).map(|n| read_text(cache, KeptKey(n), 0)));
        let (small, _) = tokio::join!(small, read_text(cache, UnkeptKey, 0));
        from_redis += small.iter().filter(|source| **source == Source::Redis).count();
    }
    let small = resident() - before;
    for n in SMALL..SMALL + LARGE {
        from_redis += usize::from(read_text(cache, KeptKey(n), 0).await == Source::Redis);
    }
    let large = resident() - before;
    assert!(from_redis >= 10_000, "{from_redis}: a busy machine loads some");
    assert!(small.max(large) <= LIMIT * 3 / 2, "by {small} bytes of small values, then by {large}");
}

/// Reads a text that does not compress, of this many bytes if it is loaded.
async fn read_text<K: CacheKey<Value = String, Head = ()>>(cache: &Cache, key: K, bytes: usize) -> Source {
    let load = move || async move {
        let value = (0..bytes / 32).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
        Ok::<_, Away>(Some(Fresh::new(1, (), value)))
    };
    cache.get_or_load(&key, load).await.expect("read").1
}

/// The process's resident memory, in bytes.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its size");
    line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
}
