//! A thousand keys at once.

use std::sync::Mutex;

use examhall_testkit::eventually;

use super::*;

const COUNT: u128 = 1_000;

fn keys() -> Vec<ExamKey> {
    (1..=COUNT).map(|n| ExamKey(ExamId(uuid::Uuid::from_u128(n)))).collect()
}

/// Reads all keys. Returns the sources, and how many keys each call of the loader got.
async fn read_all(cache: &Cache) -> (Vec<Source>, Vec<usize>) {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let counted = Arc::clone(&calls);
    let load = move |wanted: Vec<ExamKey>| {
        counted.lock().expect("no panic").push(wanted.len());
        async move {
            let fresh = |key: ExamKey| {
                let version = u32::try_from(key.0.0.as_u128()).expect("small");
                (key, Fresh::new(version.into(), access(), exam(version)))
            };
            Ok::<_, Away>(wanted.into_iter().map(fresh).collect())
        }
    };
    let read = cache.get_many_or_load(&keys(), load).await.expect("read");
    for (n, (cached, _)) in read.iter().enumerate() {
        assert_eq!(cached.as_ref().expect("there is a row").version(), i64::try_from(n + 1).expect("small"));
    }
    let calls = calls.lock().expect("no panic").clone();
    (read.into_iter().map(|(_, source)| source).collect(), calls)
}

async fn scripts(redis: &Redis) -> u32 {
    let stats: String = redis.cmd("INFO commandstats").await;
    let calls = |name: &str| stats.split(name).nth(1)?.split(',').next()?.parse::<u32>().ok();
    calls("cmdstat_evalsha:calls=").unwrap_or(0) + calls("cmdstat_eval:calls=").unwrap_or(0)
}

#[tokio::test]
async fn a_thousand_keys_take_few_round_trips_and_few_loads() {
    let redis = Redis::start().await;
    let loaded_at_once = async || {
        let one = cache(&redis).await;
        eventually("all to be forgotten", TIMEOUT, async || one.delete_many(&keys()).await.ok()).await;
        let (_, calls) = read_all(&one).await;
        (calls.len() <= 4 && calls.iter().sum::<usize>() == 1_000).then_some(())
    };
    // Keys wait for each other for 30 ms, within which a build without optimisation does not always ask for all.
    eventually("a few calls of the loader", TIMEOUT, loaded_at_once).await;
    let stored = async || {
        let (sources, _) = read_all(&cache(&redis).await).await;
        sources.iter().all(|source| *source == Source::Redis).then_some(())
    };
    eventually("all to be stored", TIMEOUT, stored).await;
    let few_scripts = async || {
        let (other, before) = (cache(&redis).await, scripts(&redis).await);
        let (sources, calls) = read_all(&other).await;
        let are_from_redis = sources.iter().all(|source| *source == Source::Redis) && calls.is_empty();
        // 8, and the heartbeats of some caches.
        (are_from_redis && scripts(&redis).await - before <= 40).then_some(())
    };
    eventually("few scripts", TIMEOUT, few_scripts).await;
    redis.cmd::<String>("CONFIG SET maxmemory 1").await;
    let served = async || {
        let (sources, _) = read_all(&cache(&redis).await).await;
        sources.iter().all(|source| source.is_hit()).then_some(())
    };
    eventually("a full Redis to serve what it has", TIMEOUT, served).await;
}

#[tokio::test]
async fn many_keys_are_read_while_a_connection_is_away() {
    let redis = Redis::start().await;
    let stored = async || {
        read_all(&cache(&redis).await).await;
        (redis.cmd::<usize>("DBSIZE").await > 1_000).then_some(())
    };
    eventually("all to be stored", TIMEOUT, stored).await;
    let other = cache(&redis).await;
    // A cache is ready with its first connection. The one for what takes long comes soon, and has asked nothing yet.
    let idle = async || {
        let clients: String = redis.cmd("CLIENT LIST").await;
        let id = clients.lines().find(|client| client.contains("cmd=info"))?.split(' ').next()?;
        // Those of caches before it are gone: there are three of its own, and the one that asks.
        (clients.lines().count() == 4).then(|| id.trim_start_matches("id=").to_owned())
    };
    let id = eventually("a connection that has asked nothing", TIMEOUT, idle).await;
    // What is cut cannot connect again.
    redis.cmd::<String>("CONFIG SET maxclients 3").await;
    redis.cmd::<i64>(&format!("CLIENT KILL ID {id}")).await;
    let served = async || read_all(&other).await.0.iter().all(|source| source.is_hit()).then_some(());
    eventually("the other connection to do", TIMEOUT, served).await;
}

#[tokio::test]
async fn a_thousand_keys_without_redis_take_one_load() {
    let mut redis = Redis::start().await;
    let (away, local) = (cache(&redis).await, Cache::builder(KEY_SPACES).local_only().expect("good options"));
    redis.kill().await;
    for cache in [away, local] {
        let at_once = async || {
            let _ = cache.delete_many(&keys()).await; // fails without Redis, and clears memory
            (read_all(&cache).await.1 == [1_000]).then_some(())
        };
        eventually("one call of the loader", TIMEOUT, at_once).await;
    }
}
