//! Single flight, even if callers are cancelled.

use std::time::Instant;

use examhall_testkit::eventually;

use super::*;

async fn herd(per_cache: usize, keys: usize) {
    let redis = Redis::start().await;
    let (caches, row) = ([cache(&redis).await, cache(&redis).await], Row::gated());
    let readers: Vec<_> = (0..per_cache * 2)
        .map(|n| {
            let (cache, row) = (caches[n % 2].clone(), row.clone());
            let key = ExamKey(ExamId(uuid::Uuid::from_u128((n / 2 % keys) as u128)));
            tokio::spawn(
                async move { cache.get_or_load(&key, move || row.load()).await.map(|(read, _)| read.is_some()) },
            )
        })
        .collect();
    row.loading_times(u32::try_from(keys).expect("small")).await;
    row.open();
    for reader in readers {
        assert!(reader.await.expect("no panic").expect("read"));
    }
    assert_eq!(row.loads() as usize, keys);
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_cold_readers_in_two_processes_load_once() {
    herd(5_000, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_cold_readers_of_fifty_exams_load_each_once() {
    herd(5_000, 50).await;
}

#[tokio::test]
async fn load_survives_cancelled_callers() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::gated());
    let readers: Vec<_> = (0..1_000).map(|_| reader(&cache, &row)).collect();
    row.loading().await;
    readers[1..].iter().for_each(tokio::task::JoinHandle::abort); // mostly including the one that began the load
    let last = reader(&cache, &row);
    readers[0].abort();
    row.open();
    assert_eq!(last.await.expect("no panic").expect("read").0, Some(0));
    assert_eq!((row.loads(), redis.cmd::<i64>(&format!("EXISTS exam:{}", KEY.0)).await), (1, 1));
}

#[tokio::test]
async fn failed_load_is_shared_and_soon_retried() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::gated());
    row.fails.store(1, Ordering::SeqCst);
    let readers: Vec<_> = (0..1_000).map(|_| reader(&cache, &row)).collect();
    row.loading().await;
    row.open();
    for reader in readers {
        let error = reader.await.expect("no panic").expect_err("failed");
        assert!(error.of_loader::<Away>().is_some(), "{error}");
    }
    assert_eq!(row.loads(), 1);
    row.fails.store(0, Ordering::SeqCst);
    let began = std::time::Instant::now();
    let recovered = async || try_read(&cache, &row).await.ok();
    assert_eq!(eventually("a value", TIMEOUT, recovered).await, (Some(0), Source::Loaded));
    assert!(began.elapsed() < Duration::from_secs(20));
    assert_eq!(row.loads(), 2, "the failure was everybody's answer, and the lease was given back");
}

#[tokio::test]
async fn slow_load_times_out_and_blocks_no_later_one() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::gated());
    let readers: Vec<_> = (0..1_000).map(|_| reader(&cache, &row)).collect();
    for reader in readers {
        let error = reader.await.expect("no panic").expect_err("the gate stays shut");
        assert!(matches!(error, ReadError::TooSlow(_)), "{error}");
    }
    assert_eq!(row.loads(), 1);
    assert_eq!(redis.cmd::<i64>(&format!("EXISTS cl:{{exam:{}}}", KEY.0)).await, 0, "the lease was given back");
    row.open();
    eventually("a value", TIMEOUT, async || try_read(&cache, &row).await.ok()).await;
    assert_eq!(row.loads(), 2);
}

#[tokio::test]
async fn stale_value_is_served_while_the_database_fails() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    read(&cache, &row).await;
    redis.cmd::<i64>(&format!("PEXPIRE exam:{} 500000", KEY.0)).await; // within the last ten minutes
    row.fails.store(1, Ordering::SeqCst);
    eventually("the memory to let go", TIMEOUT, async || (read(&cache, &row).await.1 == Source::Stale).then_some(()))
        .await;
    let readers: Vec<_> = (0..1_000).map(|_| reader(&cache, &row)).collect();
    for reader in readers {
        assert_eq!(reader.await.expect("no panic").expect("read"), (Some(0), Source::Stale));
    }
    forget(&cache).await;
    assert!(try_read(&cache, &row).await.is_err(), "what was invalidated is not served");
}

#[tokio::test]
async fn stale_value_is_served_while_the_load_goes_on() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::gated());
    row.gate.add_permits(1);
    read(&cache, &row).await;
    redis.cmd::<i64>(&format!("PEXPIRE exam:{} 500000", KEY.0)).await;
    row.change();
    eventually("the memory to let go", TIMEOUT, async || {
        (read(&cache, &row).await == (0, Source::Stale)).then_some(())
    })
    .await;
    row.open();
    eventually("the new value", TIMEOUT, async || (read(&cache, &row).await.0 == 1).then_some(())).await;
    assert_eq!(row.loads(), 2);
}

#[tokio::test]
async fn absence_is_cached_until_the_row_is_created() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    row.version.store(NO_ROW, Ordering::SeqCst);
    for _ in 0..100 {
        assert_eq!(try_read(&cache, &row).await.expect("read").0, None);
    }
    assert_eq!(row.loads(), 1);
    let life: i64 = redis.cmd(&format!("PTTL exam:{}", KEY.0)).await;
    assert!((0..=5_000).contains(&life), "{life}");
    row.version.store(1, Ordering::SeqCst);
    forget(&cache).await;
    assert_eq!(read(&cache, &row).await, (1, Source::Loaded));
}

#[tokio::test]
async fn panic_of_a_loader_is_an_error_and_not_cached() {
    let redis = Redis::start().await;
    let (cache, row) = (cache(&redis).await, Row::new());
    std::panic::set_hook(Box::new(|_| {})); // on a busy machine a backtrace takes longer than a load may
    let panics = || async {
        assert!(false_at_run_time(), "planted");
        Ok::<_, Away>(None)
    };
    let error = cache.get_or_load(&KEY, panics).await.err().expect("an error");
    assert!(error.to_string().contains("panicked"), "{error}");
    eventually("a value", TIMEOUT, async || try_read(&cache, &row).await.ok()).await;
}

fn false_at_run_time() -> bool {
    std::env::args().count() == 0
}

#[tokio::test]
async fn long_load_keeps_its_lease() {
    eventually("a machine that has time", TIMEOUT, async || keeps_its_lease().await.then_some(())).await;
}

/// Returns whether there was time: a process that is stalled for most of a lease loses it.
async fn keeps_its_lease() -> bool {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::gated());
    let waiting = [reader(&one, &row), reader(&other, &row)];
    row.loading().await;
    // A lease lasts 1 s. Renewed, it is there long after that; the test asks Redis's clock, not its own.
    let lease = format!("cl:{{exam:{}}}", KEY.0);
    let (mut renewals, mut looked) = (0, Instant::now());
    let mut last: i64 = redis.cmd(&format!("PTTL {lease}")).await;
    while renewals < 4 {
        let left: i64 = redis.cmd(&format!("PTTL {lease}")).await;
        if looked.elapsed() > Duration::from_millis(400) {
            return false;
        }
        assert!(left > 0, "the lease was lost");
        renewals += u32::from(left > last);
        (last, looked) = (left, Instant::now());
        tokio::time::sleep(Duration::from_millis(5)).await; // between two looks at the lease
    }
    row.open();
    for reader in waiting {
        assert_eq!(reader.await.expect("no panic").expect("read").0, Some(0));
    }
    true
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_readers_of_an_absent_row_load_once() {
    let redis = Redis::start().await;
    let (caches, row) = ([cache(&redis).await, cache(&redis).await], Row::gated());
    row.version.store(NO_ROW, Ordering::SeqCst);
    let readers: Vec<_> = (0..10_000).map(|n| reader(&caches[n % 2], &row)).collect();
    row.loading().await;
    row.open();
    for reader in readers {
        assert_eq!(reader.await.expect("no panic").expect("read").0, None);
    }
    assert_eq!(row.loads(), 1);
    let mut lags = Vec::new();
    for round in 0..5 {
        row.version.store(round, Ordering::SeqCst);
        forget(&caches[0]).await;
        assert_eq!(read(&caches[0], &row).await.0, i64::from(round));
        let made = Instant::now();
        let other_reads = async |version: Option<i64>| {
            eventually("the other process to see it", LATE, async || {
                (try_read(&caches[1], &row).await.expect("read").0 == version).then_some(())
            })
            .await;
        };
        other_reads(Some(i64::from(round))).await;
        lags.push(made.elapsed());
        row.version.store(NO_ROW, Ordering::SeqCst);
        forget(&caches[0]).await;
        other_reads(None).await;
    }
    mostly_within(Duration::from_secs(2), lags); // absence is cached for 5 s
}

#[tokio::test]
async fn overload_returns_retry_after() {
    let (cache, row) = (Cache::builder(KEY_SPACES).local_only().expect("good options"), Row::gated());
    let mut waiting: Vec<_> = (0..20_000).map(|_| Box::pin(try_read(&cache, &row))).collect();
    for reader in &mut waiting {
        assert!(futures_util::poll!(reader).is_pending());
    }
    let error = try_read(&cache, &row).await.expect_err("one too many");
    let ReadError::Crowded { retry_after } = error else { panic!("{error}") };
    assert!((1_000..=3_000).contains(&retry_after.as_millis()), "{retry_after:?}");
    drop(waiting);
    row.open();
    assert_eq!(read(&cache, &row).await.0, 0, "there is room again");
}
