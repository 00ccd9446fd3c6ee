//! Keys, key spaces, errors and options: what a program may pass.

use examhall_cache::{Builder, Error, KeyError, SpaceError};
use examhall_testkit::eventually;

use super::*;

/// A key with any name.
#[derive(Clone, Debug, PartialEq)]
struct AnyKey(&'static str);

impl CacheKey for AnyKey {
    type Value = u32;
    type Head = ();
    const LIFE: Life = Life::hours(1);

    fn redis_key(&self) -> String {
        self.0.to_owned()
    }
}

#[expect(clippy::unnecessary_wraps, reason = "what a loader returns")]
fn number(value: u32) -> Result<Option<Fresh<AnyKey>>, Away> {
    Ok(Some(Fresh::new(1, (), value)))
}

#[tokio::test]
async fn a_key_outside_the_spaces_is_refused_by_each_call() {
    let redis = Redis::start().await;
    let spaces = vec![String::from("user:"), format!("{}:", "order")]; // owned
    let cache = Cache::builder(spaces).prefix("shop:").open(&redis.url()).expect("good spaces");
    for (name, error) in [
        ("users:1", KeyError::OutsideSpaces("shop:users:1".into())),
        ("exam:1", KeyError::OutsideSpaces("shop:exam:1".into())),
        ("user:1}", KeyError::Brace("shop:user:1}".into())),
    ] {
        let key = AnyKey(name);
        let refused =
            |answer: Result<(), ReadError>| matches!(answer, Err(ReadError::Key(refused)) if refused == error);
        let load = || async { never() };
        assert!(refused(cache.get_or_load(&key, load).await.map(|_| ())), "{name}");
        assert!(refused(cache.reload(&key, load).await.map(|_| ())), "{name}");
        let load = |_| async { panic!("loaded") };
        let many: Result<Vec<_>, _> =
            cache.get_many_or_load::<_, Away, _>(&[AnyKey("user:1"), key.clone()], load).await;
        assert!(refused(many.map(|_| ())), "{name}");
        assert_eq!(cache.warm(&key, TIMEOUT, || async { number(1) }).await, Err(error.clone()));
        assert!(cache.get(&key).await.is_none());
        let refused = |answer: Result<(), Error>| matches!(answer, Err(Error::Key(refused)) if refused == error);
        assert!(refused(cache.delete(&key).await), "{name}");
        assert!(refused(cache.delete_many(&[AnyKey("user:1"), key.clone()]).await), "{name}");
        assert!(refused(cache.invalidation(&["user:1", name]).await.map(|_| ())), "{name}");
        let run = Arc::new(AtomicU32::new(0));
        let commit = async || {
            run.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        assert!(refused(cache.change(&[key], commit).await), "{name}");
        assert_eq!(run.load(Ordering::SeqCst), 0, "nothing is committed");
    }
    assert_eq!(redis.cmd::<Vec<String>>("KEYS *shop:*1*").await, Vec::<String>::new(), "nothing is half done");
}

#[tokio::test]
async fn spaces_that_cannot_be_listened_to_are_refused_at_once() {
    let open = |spaces: &[&str]| Cache::builder(spaces).open("redis://127.0.0.1:1").map(|_| ()).expect_err("refused");
    assert!(matches!(open(&["user:", "user:a:"]), Error::Spaces(SpaceError::Overlap(..))));
    assert!(matches!(open(&[""]), Error::Spaces(SpaceError::Empty)));
    assert!(matches!(open(&[]), Error::Spaces(SpaceError::None)));
    assert!(matches!(open(&["cm:"]), Error::Spaces(SpaceError::Reserved(_))));
}

#[tokio::test]
async fn another_key_type_with_the_same_name_is_an_error() {
    let redis = Redis::start().await;
    for cache in [cache(&redis).await, Cache::builder(KEY_SPACES).local_only().expect("good options")] {
        let name: &'static str = "exam:00000000-0000-0000-0000-000000000000";
        let is_conflict = |error: &ReadError| matches!(error, ReadError::OtherType(key) if **key == *name);
        for row in [Row::new(), Row::new()].into_iter().enumerate().map(|(n, row)| {
            row.version.store(if n == 0 { NO_ROW } else { 7 }, Ordering::SeqCst);
            row
        }) {
            let local = async || {
                let source = try_read(&cache, &row).await.expect("read").1;
                (source == Source::Local).then_some(())
            };
            eventually("the memory to answer", TIMEOUT, local).await;
            let error = cache.get_or_load(&AnyKey(name), || async { number(1) }).await.map(|_| ()).expect_err("no 404");
            assert!(is_conflict(&error), "{error}");
            forget(&cache).await;
        }
    }
}

#[tokio::test]
async fn joining_a_load_of_another_key_type_is_an_error() {
    let (cache, slow) = (Cache::builder(KEY_SPACES).local_only().expect("good options"), Row::gated());
    let reading = reader(&cache, &slow);
    slow.loading().await;
    let key = AnyKey("exam:00000000-0000-0000-0000-000000000000");
    let opens = async { slow.open() };
    let (joined, ()) = tokio::join!(cache.get_or_load(&key, || async { number(1) }), opens);
    assert!(matches!(joined, Err(ReadError::OtherType(_))));
    reading.await.expect("no panic").expect("read");
}

#[tokio::test]
async fn a_loader_may_fail_with_any_error_or_panic() {
    let cache = Cache::builder(["user:"]).failure_ttl(Duration::ZERO).local_only().expect("good options");
    let key = AnyKey("user:1");
    let error = cache.get_or_load(&key, || async { Err(anyhow::anyhow!("away").context("users")) }).await;
    assert_eq!(error.map(|_| ()).expect_err("fails").to_string(), "users");
    let wrapped = || async { Err(anyhow::Error::new(Away).context("users")) };
    let error = cache.get_or_load(&key, wrapped).await.map(|_| ()).expect_err("fails");
    assert!(error.of_loader::<Away>().is_some(), "{error:?}");
    let boxed = || async { Err(Box::<dyn std::error::Error + Send + Sync>::from("away")) };
    assert!(matches!(cache.get_or_load(&key, boxed).await, Err(ReadError::Load(error)) if error.to_string() == "away"));
    let panics = || async { never() };
    assert!(matches!(cache.get_or_load(&key, panics).await, Err(ReadError::Panicked)));
    let (read, _) = cache.get_or_load(&key, || async { number(7) }).await.expect("no failure is remembered");
    assert_eq!(read.expect("a number").value().expect("JSON"), 7);
}

#[expect(clippy::panic, reason = "the test is that it does not end the process")]
fn never() -> Result<Option<Fresh<AnyKey>>, Away> {
    panic!("loaded")
}

#[tokio::test]
async fn every_option_has_its_effect() {
    let local = |set: fn(Builder) -> Builder| set(Cache::builder(KEY_SPACES)).local_only().expect("good options");
    let row = Row::new();
    let cache = local(|builder| builder.negative_ttl(Duration::from_millis(50)).jitter(0.0, 0.0));
    row.version.store(NO_ROW, Ordering::SeqCst);
    assert_eq!(try_read(&cache, &row).await.expect("read").0, None);
    row.version.store(1, Ordering::SeqCst);
    let found = async || try_read(&cache, &row).await.expect("read").0;
    let began = std::time::Instant::now();
    assert_eq!(eventually("the row to be found", TIMEOUT, found).await, 1);
    assert!(began.elapsed() < Duration::from_secs(4), "the default is 5 s");

    let (cache, slow) =
        (local(|builder| builder.hard_load_limit(Duration::from_millis(20)).max_waiters(1)), Row::gated());
    let first = reader(&cache, &slow);
    slow.loading().await;
    assert!(matches!(try_read(&cache, &slow).await, Err(ReadError::Crowded { .. })), "one may wait");
    assert!(matches!(first.await.expect("no panic"), Err(ReadError::TooSlow(limit)) if limit.as_millis() == 20));

    let redis = Redis::start().await;
    let cache = Cache::builder(KEY_SPACES).jitter(0.0, 0.9).redis_only().open(&redis.url()).expect("a good URL");
    cache.ready().await.expect("connected");
    for _ in 0..10 {
        read(&cache, &Row::new()).await;
        let ttl: i64 = redis.cmd(&format!("PTTL exam:{}", KEY.0)).await;
        assert!((3_600_000 - 30_000..=3_600_000).contains(&ttl), "no jitter: {ttl}");
        forget(&cache).await;
    }
}
