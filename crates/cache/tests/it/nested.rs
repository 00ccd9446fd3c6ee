//! Loaders that read the cache themselves.

use examhall_testkit::eventually;
use futures_util::future::{BoxFuture, join_all};

use super::*;

/// A key whose loader is described by its name: `abc` reads `bc`, which reads `c`; `~a` reads itself.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Chain(String);

impl CacheKey for Chain {
    type Value = String;
    type Head = ();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        format!("exam:{}", self.0)
    }
}

fn of(name: &str) -> Chain {
    Chain(name.into())
}

fn fresh(value: &str) -> Fresh<Chain> {
    Fresh::new(1, (), value.to_owned())
}

/// Reads a key whose loader reads the next one of `path`, and the last one's loader passes `gate`.
fn read_path(cache: Cache, path: Vec<String>, gate: Arc<Semaphore>) -> BoxFuture<'static, Result<(), ReadError>> {
    Box::pin(async move {
        let (key, rest) = (of(&path[0]), path[1..].to_vec());
        let inner = cache.clone();
        let load = move || async move {
            if rest.is_empty() {
                gate.acquire().await.expect("open").forget();
            } else {
                read_path(inner, rest, gate).await?;
            }
            Ok::<_, ReadError>(Some(fresh("loaded")))
        };
        cache.get_or_load(&key, load).await.map(|_| ())
    })
}

fn path(names: &str) -> Vec<String> {
    names.chars().map(String::from).collect()
}

fn open() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(Semaphore::MAX_PERMITS))
}

/// Returns the key that waits for itself, through however many loaders the error came.
fn circle(mut error: &ReadError) -> Option<&str> {
    loop {
        if let ReadError::Circular { key } = error {
            return Some(key);
        }
        error = error.of_loader::<ReadError>()?;
    }
}

#[tokio::test]
async fn loader_that_asks_for_its_own_key_fails_at_once() {
    let redis = Redis::start().await;
    for cache in [cache(&redis).await, Cache::builder(KEY_SPACES).local_only().expect("good options")] {
        for names in ["aa", "bcb", "defd", "ghh", "klmnopqrk"] {
            let error = read_path(cache.clone(), path(names), open()).await.expect_err("it waits for itself");
            let last = names.chars().last().expect("a name");
            assert_eq!(circle(&error), Some(&*format!("exam:{last}")), "{names}: {error}");
        }
        read_path(cache.clone(), path("stuv"), open()).await.expect("no circle");
    }
}

#[tokio::test]
async fn loaders_that_ask_for_each_other_fail_at_once() {
    let cache = Cache::builder(KEY_SPACES).local_only().expect("good options");
    let (entered, pass) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let read = |from: &'static str, to: &'static str| {
        let (inner, entered, pass) = (cache.clone(), Arc::clone(&entered), Arc::clone(&pass));
        let load = move || async move {
            entered.add_permits(1);
            pass.acquire().await.expect("open").forget();
            read_path(inner, path(to), open()).await?;
            Ok::<_, ReadError>(Some(fresh(from)))
        };
        let cache = cache.clone();
        tokio::spawn(async move { cache.get_or_load(&of(from), load).await.map(|_| ()) })
    };
    let readers = [read("a", "b"), read("b", "c"), read("c", "a")];
    entered.acquire_many(3).await.expect("open").forget();
    pass.add_permits(3);
    let results = join_all(readers).await;
    let errors: Vec<_> = results.into_iter().filter_map(|result| result.expect("no panic").err()).collect();
    assert!(!errors.is_empty() && errors.iter().all(|error| circle(error).is_some()), "{errors:?}");
}

#[tokio::test]
async fn batch_loader_that_asks_for_one_of_its_keys_fails_at_once() {
    let cache = Cache::builder(KEY_SPACES).local_only().expect("good options");
    let inner = cache.clone();
    let load = move |keys: Vec<Chain>| {
        let inner = inner.clone();
        async move {
            read_path(inner, path("b"), open()).await?;
            Ok::<_, ReadError>(keys.into_iter().map(|key| (key, fresh("x"))).collect())
        }
    };
    let error = cache.get_many_or_load(&[of("a"), of("b")], load).await.err().expect("it waits for itself");
    assert_eq!(circle(&error), Some("exam:b"), "{error}");
}

#[tokio::test]
async fn loader_may_read_its_key_in_another_cache() {
    let (cache, outer) = (
        Cache::builder(KEY_SPACES).local_only().expect("good options"),
        Cache::builder(KEY_SPACES).local_only().expect("good options"),
    );
    let load = move || async move {
        read_path(cache, path("a"), open()).await?;
        Ok::<_, ReadError>(Some(fresh("x")))
    };
    assert!(outer.get_or_load(&of("a"), load).await.expect("no circle").0.is_some());
}

#[tokio::test]
async fn nested_loads_without_redis_need_one_permit() {
    let mut redis = Redis::start().await;
    redis.kill().await;
    let cache = Cache::builder(KEY_SPACES).open(&redis.url()).expect("a good URL");
    let gate = Arc::new(Semaphore::new(0));
    // Eight loads, which is as many as may run at once, each three deep; and 32 that wait for a permit, one of which is
    // for a key that the eight need.
    let mut readers: Vec<_> = (0..8)
        .map(|n| vec![format!("a{n}"), format!("b{n}"), "shared".into()])
        .chain((0..32).map(|n| vec![if n == 16 { "shared".into() } else { format!("c{n}") }]))
        .map(|path| tokio::spawn(read_path(cache.clone(), path, Arc::clone(&gate))))
        .collect();
    gate.add_permits(1_000);
    for reader in readers.drain(..) {
        reader.await.expect("no panic").expect("read");
    }
}

#[tokio::test]
async fn load_that_others_wait_for_needs_no_permit() {
    let mut redis = Redis::start().await;
    redis.kill().await;
    let cache = Cache::builder(KEY_SPACES).open(&redis.url()).expect("a good URL");
    let (entered, pass) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)));
    let outer = (0..8).map(|n| {
        let (inner, entered, pass) = (cache.clone(), Arc::clone(&entered), Arc::clone(&pass));
        let load = move || async move {
            entered.add_permits(1);
            pass.acquire().await.expect("open").forget();
            read_path(inner, path("s"), open()).await?;
            Ok::<_, ReadError>(Some(fresh("x")))
        };
        let cache = cache.clone();
        tokio::spawn(async move { cache.get_or_load(&of(&format!("outer{n}")), load).await.map(|_| ()) })
    });
    let outer: Vec<_> = outer.collect();
    entered.acquire_many(8).await.expect("open").forget(); // no permit is left
    let waiting = tokio::spawn(read_path(cache.clone(), path("s"), open()));
    tokio::task::yield_now().await; // it has joined its flight, which waits for a permit
    pass.add_permits(8);
    for reader in outer.into_iter().chain([waiting]) {
        reader.await.expect("no panic").expect("read");
    }
    eventually("it to be kept", TIMEOUT, async || cache.get(&of("s")).await).await;
}
