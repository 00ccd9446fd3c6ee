//! Values too large for Redis, large ones, and many loads at once.

use std::time::Instant;

use examhall_testkit::eventually;
use futures_util::future::join_all;

use super::*;

/// The row with a description of this many bytes that do not compress.
async fn load_long(row: Row, bytes: usize) -> Result<Option<Fresh<ExamKey>>, Away> {
    let fresh = row.load().await?;
    Ok(fresh.map(|fresh| {
        let description = (0..bytes / 32).map(|_| uuid::Uuid::new_v4().simple().to_string()).collect();
        Fresh { value: Exam { description, ..fresh.value }, ..fresh }
    }))
}

async fn read_long(cache: &Cache, row: &Row, bytes: usize) -> (i64, Source) {
    let row = row.clone();
    let (cached, source) = cache.get_or_load(&KEY, move || load_long(row, bytes)).await.expect("read");
    (cached.expect("there is a row").version(), source)
}

/// Two processes that store nothing of more than 10 KB in Redis.
async fn pair(redis: &Redis, builder: impl Fn() -> examhall_cache::Builder) -> [Cache; 2] {
    let open = || builder().max_value_bytes(10_000).open(&redis.url()).expect("a good URL");
    let caches = [open(), open()];
    for cache in &caches {
        cache.ready().await.expect("connected");
    }
    caches
}

#[tokio::test]
async fn value_of_3_mb_is_loaded_once_for_all_processes() {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::new());
    let shared = async || {
        forget(&one).await;
        let before = row.loads();
        read_long(&one, &row, 3_000_000).await;
        let source = read_long(&other, &row, 3_000_000).await.1;
        let stored = other.get(&KEY).await.is_some();
        (source == Source::Redis && stored && row.loads() == before + 1).then_some(())
    };
    eventually("a machine that has time", TIMEOUT, shared).await;
}

#[tokio::test]
async fn unstored_value_is_loaded_once_by_each_process() {
    let redis = Redis::start().await;
    let (caches, row) = (pair(&redis, || Cache::builder(KEY_SPACES)).await, Row::new());
    let mut loads = 0;
    for version in 0..3 {
        let began = Instant::now();
        while began.elapsed() < Duration::from_millis(400) {
            let reads = (0..20).map(|n| read_long(&caches[n % 2], &row, 20_000));
            for (read, _) in join_all(reads).await {
                assert_eq!(read, version);
            }
        }
        let of_this = row.loads() - loads;
        assert!((2..=4).contains(&of_this), "{of_this}: each once, and once more if the link was late");
        assert_eq!(redis.cmd::<i64>(&format!("EXISTS exam:{}", KEY.0)).await, 0);
        loads = row.loads();
        row.change();
        forget(&caches[0]).await;
        let seen = async || (read_long(&caches[1], &row, 20_000).await.0 == version + 1).then_some(());
        eventually("the other process to see it", LATE, seen).await;
    }
}

#[tokio::test]
async fn readers_of_a_value_kept_nowhere_starve_nobody() {
    let redis = Redis::start().await;
    let caches = pair(&redis, || Cache::builder(KEY_SPACES).redis_only()).await;
    let row = Row::new();
    let began = Instant::now();
    let readers = (0..40).map(|n| {
        let (cache, row) = (caches[n % 2].clone(), row.clone());
        tokio::spawn(async move {
            let mut reads = 0_u32;
            while began.elapsed() < Duration::from_millis(1_500) {
                let row = row.clone();
                let load = move || async move {
                    tokio::time::sleep(Duration::from_millis(60)).await; // what a load takes
                    load_long(row, 20_000).await
                };
                assert!(cache.get_or_load(&KEY, load).await.expect("read").0.is_some());
                reads += 1;
            }
            reads
        })
    });
    let reads: Vec<_> =
        join_all(readers.collect::<Vec<_>>()).await.into_iter().map(|reads| reads.expect("reads")).collect();
    // One load after another, twenty in this time if the machine has time: nobody waits for the other process.
    let least = reads.iter().min().expect("some");
    assert!(*least >= 5 && least * 3 >= *reads.iter().max().expect("some"), "{reads:?}");
}

#[tokio::test]
async fn many_cold_keys_load_64_at_once_without_an_error() {
    let redis = Redis::start().await;
    let keys = if std::env::var_os("EXAMHALL_LONG").is_some() { 10_000 } else { 1_000 };
    let (cache, row) = (cache(&redis).await, Row::new());
    let (running, most) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let reads = (0..keys).map(|n| {
        let (cache, row, running, most) = (cache.clone(), row.clone(), Arc::clone(&running), Arc::clone(&most));
        let load = move || async move {
            most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            tokio::time::sleep(Duration::from_millis(5)).await; // what a load takes
            running.fetch_sub(1, Ordering::SeqCst);
            row.load().await
        };
        tokio::spawn(async move { cache.get_or_load(&ExamKey(ExamId(uuid::Uuid::from_u128(n + 1))), load).await })
    });
    for read in reads.collect::<Vec<_>>() {
        assert!(read.await.expect("no panic").expect("no error").0.is_some());
    }
    assert_eq!(u128::from(row.loads()), keys);
    let most = most.load(Ordering::SeqCst);
    assert!((32..=64 + 8).contains(&most), "{most} at once; 8 of them if the machine is busy");
}
