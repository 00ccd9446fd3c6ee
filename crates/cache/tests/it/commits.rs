//! Commits that change many keys.

use std::time::Instant;

use examhall_testkit::eventually;

use super::*;

fn names() -> Vec<String> {
    (0..1_002).map(|n| format!("exam:{}", id(n).0)).collect()
}

fn id(n: u128) -> ExamKey {
    ExamKey(ExamId(uuid::Uuid::from_u128(n + 1)))
}

async fn scripts_run(redis: &Redis) -> u32 {
    let calls: String = redis.cmd("INFO commandstats").await;
    let count = |name| calls.split(name).nth(1)?.split(',').next()?.parse::<u32>().ok();
    count("cmdstat_evalsha:calls=").unwrap_or(0) + count("cmdstat_eval:calls=").unwrap_or(0)
}

async fn source(cache: &Cache, row: &Row, n: u128) -> Source {
    let row = row.clone();
    cache.get_or_load(&id(n), move || row.load()).await.expect("read").1
}

#[tokio::test]
async fn commit_of_1002_keys_takes_few_scripts() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    let (commit, names) = (uuid::Uuid::new_v4(), names());
    for n in [0, 511, 512, 1_001] {
        assert_eq!(source(&one, &row, n).await, Source::Loaded);
    }
    // Redis has 50 ms, in which a busy machine does not always answer.
    let announced = async || {
        let (scripts, began) = (scripts_run(&redis).await, Instant::now());
        one.before_commit(commit, &names).await;
        (began.elapsed().as_millis() < 40).then_some((began, scripts))
    };
    let before = eventually("Redis to answer in time", TIMEOUT, announced).await;
    eventually("Redis to be notified", TIMEOUT, async || {
        for n in [0, 511, 512, 1_001] {
            assert_ne!(source(&other, &row, n).await, Source::Loaded, "nothing is stored meanwhile");
        }
        one.after_commit(commit, &names).await.then_some(())
    })
    .await;
    let (took, scripts) = (before.0.elapsed(), scripts_run(&redis).await - before.1);
    // Two heartbeats a second of each process and retries on a busy machine are not meant.
    let others = 4 + 4 + 8 * u32::try_from(took.as_millis() / 500).expect("small");
    assert!(scripts <= 4 + others, "{scripts} scripts in {took:?}");
    for n in [0, 511, 512, 1_001] {
        assert_eq!(source(&other, &row, n).await, Source::Loaded, "they may be stored again");
    }
}

#[tokio::test]
async fn announcing_a_commit_to_a_frozen_redis_takes_50_ms() {
    let redis = Redis::start().await;
    let (cache, names) = (cache(&redis).await, names());
    let quick = async || {
        redis.process().freeze();
        let began = Instant::now();
        cache.before_commit(uuid::Uuid::new_v4(), &names).await;
        let (first, again) = (began.elapsed(), Instant::now());
        cache.before_commit(uuid::Uuid::new_v4(), &names).await;
        let second = again.elapsed();
        redis.process().thaw();
        eventually("Redis to be used again", TIMEOUT, async || cache.delete(&KEY).await.ok()).await;
        (first <= Duration::from_millis(50) && second <= Duration::from_millis(10)).then_some(())
    };
    eventually("an announcement in 50 ms, and another one at once", TIMEOUT, quick).await;
}

#[tokio::test]
async fn commit_removes_values_from_a_full_redis() {
    let redis = Redis::start().await;
    let (cache, row, names) = (cache(&redis).await, Row::new(), names());
    for n in 0..20 {
        source(&cache, &row, n).await;
    }
    redis.cmd::<String>("CONFIG SET maxmemory 1").await;
    let gone = async || {
        cache.before_commit(uuid::Uuid::new_v4(), &names).await;
        redis.cmd::<Vec<String>>("KEYS exam:*").await.is_empty().then_some(())
    };
    eventually("all values to be removed", TIMEOUT, gone).await;
    let cleared = async || cache.after_commit(uuid::Uuid::new_v4(), &names).await.then_some(());
    eventually("a commit to be cleared", TIMEOUT, cleared).await;
}
