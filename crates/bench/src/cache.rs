//! Reading through the cache: hits at each level, herds, changes, and a Redis that is down.

use std::{
    convert::Infallible,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Context;
use examhall_cache::{Cache, CacheKey, Fresh, Life, Source};
use examhall_core::{KEY_SPACES, Profile, Role, UserId};
use examhall_testkit::Redis;
use fred::prelude::{Builder, Client, ClientLike, Config, KeysInterface, Value};
use tokio::task::JoinSet;

use crate::queue::median;

/// Cold readers over two processes.
const HERD: usize = 10_000;
/// How long the database takes for one of them.
const LOAD: Duration = Duration::from_millis(200);
/// Reads at once from Redis.
const TASKS: u32 = 64;
/// How often the cache and the bare client take turns.
const ROUNDS: usize = 5;
const KEY: ProfileKey = ProfileKey(0);

/// `user:profile:0`, and those of further users.
#[derive(Clone)]
struct ProfileKey(u32);

impl CacheKey for ProfileKey {
    type Value = Profile;
    type Head = ();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        format!("user:profile:{}", self.0)
    }
}

pub(crate) async fn measure(count: u32) -> anyhow::Result<()> {
    let mut redis = Redis::start().await;
    let (one, other) = (open(&redis).await?, open(&redis).await?);
    let only_redis = Cache::builder(KEY_SPACES).redis_only().open(&redis.url())?;
    only_redis.ready().await?;

    herd("cold", [&one, &other]).await?;
    herd("warm", [&one, &other]).await?;
    hits("hit in process", &one, Source::Local, count * 20).await?;
    hits("hit in Redis", &only_redis, Source::Redis, count).await?;
    against_a_bare_client(&redis, &only_redis, count).await?;
    changes(&one, &other, count.min(1_000)).await?;
    redis.kill().await;
    while hit(&only_redis, KEY).await? != Source::Bypass {}
    for _ in 0..20 {
        hit(&only_redis, KEY).await?; // until the breaker is open
    }
    hits("read while Redis is down", &only_redis, Source::Bypass, count).await
}

async fn open(redis: &Redis) -> anyhow::Result<Cache> {
    let cache = Cache::builder(KEY_SPACES).open(&redis.url())?;
    cache.ready().await?;
    Ok(cache)
}

async fn hit(cache: &Cache, key: ProfileKey) -> anyhow::Result<Source> {
    Ok(cache.get_or_load(&key, || async { Ok::<_, Infallible>(Some(profile(1))) }).await?.1)
}

/// Reads one after the other, of which only those from `level` count.
async fn hits(work: &str, cache: &Cache, level: Source, count: u32) -> anyhow::Result<()> {
    let mut times = Vec::with_capacity(count as usize);
    while times.len() < count as usize {
        let began = Instant::now();
        let source = hit(cache, KEY).await?;
        if source == level {
            times.push(began.elapsed());
        }
    }
    crate::print_times(work, &mut times);
    Ok(())
}

/// The yardstick of a hit in Redis: the client library alone, which reads the bytes of the same key and leaves them as they are.
async fn against_a_bare_client(redis: &Redis, cache: &Cache, count: u32) -> anyhow::Result<()> {
    let client = Builder::from_config(Config::from_url(&redis.url())?).build()?;
    client.init().await?;
    let get = |client: Client, key: ProfileKey| async move { Ok(client.get::<Value, _>(key.redis_key()).await?) };
    let read = |cache: Cache, key| async move { hit(&cache, key).await };
    let mut times = Vec::with_capacity(count as usize);
    for _ in 0..count {
        let began = Instant::now();
        get(client.clone(), KEY).await?;
        times.push(began.elapsed());
    }
    crate::print_times("GET of the same key, the client alone", &mut times);

    for user in 0..TASKS {
        hit(cache, ProfileKey(user)).await?; // so that each key is there
    }
    for (keys, of) in [(1, "one key"), (TASKS, "a key for each")] {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(rate(count, keys, &client, get).await?);
            ours.push(rate(count, keys, cache, read).await?);
        }
        let middle = |rates: Vec<f64>| median(rates.into_iter()).context("no rounds");
        let (bare, ours) = (middle(bare)?, middle(ours)?);
        crate::print_rate(&format!("{TASKS} tasks, {of}: GET, the client alone"), bare, None);
        let of_the_client = Some(("of the client alone", bare));
        crate::print_rate(&format!("{TASKS} tasks, {of}: hit in Redis"), ours, of_the_client);
    }
    Ok(client.quit().await?)
}

/// Reads per second of so many, by [`TASKS`] at once, of this number of keys.
async fn rate<C, F, T: 'static>(count: u32, keys: u32, with: &C, work: fn(C, ProfileKey) -> F) -> anyhow::Result<f64>
where
    C: Clone + Send + 'static,
    F: Future<Output = anyhow::Result<T>> + Send + 'static,
{
    let began = Instant::now();
    let mut tasks = JoinSet::new();
    for task in 0..TASKS {
        let (with, key) = (with.clone(), ProfileKey(task % keys));
        tasks.spawn(async move {
            for _ in 0..count / TASKS {
                work(with.clone(), key.clone()).await?;
            }
            anyhow::Ok(())
        });
    }
    tasks.join_all().await.into_iter().collect::<anyhow::Result<()>>()?;
    Ok(f64::from(count / TASKS * TASKS) / began.elapsed().as_secs_f64())
}

async fn herd(work: &str, caches: [&Cache; 2]) -> anyhow::Result<()> {
    let loads = Arc::new(AtomicU32::new(0));
    let began = Instant::now();
    let readers: Vec<_> = (0..HERD)
        .map(|n| {
            let (cache, loads) = (caches[n % 2].clone(), Arc::clone(&loads));
            tokio::spawn(async move {
                let load = move || async move {
                    loads.fetch_add(1, Ordering::SeqCst);
                    tokio::time::sleep(LOAD).await;
                    Ok::<_, Infallible>(Some(profile(1)))
                };
                cache.get_or_load(&KEY, load).await.map(|_| began.elapsed())
            })
        })
        .collect();
    let mut times = Vec::with_capacity(HERD);
    for reader in readers {
        times.push(reader.await??);
    }
    let loads = loads.load(Ordering::SeqCst);
    crate::print_times(&format!("{HERD} {work} readers, 2 processes, {loads} load of {LOAD:?}"), &mut times);
    Ok(())
}

/// From a change in one process until the other one serves the new value.
async fn changes(one: &Cache, other: &Cache, count: u32) -> anyhow::Result<()> {
    let version = Arc::new(AtomicU32::new(1));
    let read = async |cache: &Cache| {
        let version = Arc::clone(&version);
        let load = move || async move { Ok::<_, Infallible>(Some(profile(version.load(Ordering::SeqCst)))) };
        let (cached, _) = cache.get_or_load(&KEY, load).await?;
        anyhow::Ok(cached.map_or(0, |cached| cached.version()))
    };
    let mut times = Vec::with_capacity(count as usize);
    for _ in 0..count {
        read(other).await?;
        let began = Instant::now();
        let changed = version.fetch_add(1, Ordering::SeqCst) + 1;
        one.delete(&KEY).await?;
        while read(other).await? < i64::from(changed) {
            tokio::task::yield_now().await;
        }
        times.push(began.elapsed());
    }
    crate::print_times("change, until another process shows it", &mut times);
    Ok(())
}

/// A value of 8 KB.
fn profile(version: u32) -> Fresh<ProfileKey> {
    let name = (0..1_000_u32).flat_map(|n| (n * 7_919).to_string().into_bytes()).map(char::from).take(8_000).collect();
    let value = Profile { id: UserId(uuid::Uuid::nil()), name, role: Role::Student };
    Fresh::new(version.into(), (), value)
}
