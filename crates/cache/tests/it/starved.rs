//! A starved process or a pausing Redis is not an outage: a key is still loaded once.

use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};

use examhall_testkit::eventually;

use super::*;

/// Threads that take the machine's time away until they are dropped.
struct Busy(Arc<AtomicBool>);

impl Busy {
    fn begin() -> Self {
        let ends = Arc::new(AtomicBool::new(false));
        for _ in 0..8 {
            let ends = Arc::clone(&ends);
            std::thread::spawn(move || while !ends.load(Ordering::Relaxed) {});
        }
        Self(ends)
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

type Reader = tokio::task::JoinHandle<Result<(Option<i64>, Source), ReadError>>;

async fn all_read(readers: Vec<Reader>) {
    for reader in readers {
        assert_eq!(reader.await.expect("no panic").expect("read").0, Some(0));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn starved_process_loads_once() {
    let redis = Redis::start().await;
    let (caches, row) = ([cache(&redis).await, cache(&redis).await], Row::gated());
    let busy = Busy::begin();
    let readers: Vec<_> = (0..2_000).map(|n| reader(&caches[n % 2], &row)).collect();
    row.loading().await;
    // The threads that readers run on, all of them, for longer than a lease: it is renewed elsewhere. A thread that sleeps
    // is a blocked one: that is what is tested.
    let times = 12 * std::thread::available_parallelism().expect("a number").get();
    let blocked = (0..times).map(|_| tokio::spawn(async { std::thread::sleep(Duration::from_millis(100)) }));
    for blocked in blocked.collect::<Vec<_>>() {
        blocked.await.expect("no panic");
    }
    row.open();
    all_read(readers).await;
    drop(busy);
    assert_eq!(row.loads(), 1);
}

#[tokio::test]
async fn pauses_of_redis_cause_no_second_load() {
    let loads = eventually("pauses as short as they are meant", TIMEOUT, loads_with_pauses).await;
    assert_eq!(loads, 1);
}

/// Returns `None` if a pause lasted longer than that.
async fn loads_with_pauses() -> Option<u32> {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::gated());
    let mut readers = vec![reader(&one, &row)];
    row.loading().await;
    readers.extend((0..500).map(|n| reader([&one, &other][n % 2], &row)));
    // Each acquisition that finds no value looks for marks.
    let both_have_asked = async || {
        let calls: String = redis.cmd("INFO commandstats").await;
        let looks = calls.split("cmdstat_zcount:calls=").nth(1)?.split(',').next()?.parse::<u32>().ok()?;
        (looks >= 2).then_some(())
    };
    eventually("the other process to know of the load", TIMEOUT, both_have_asked).await;
    for _ in 0..5 {
        // Longer than a silence that opens the circuit, shorter than what those wait who know of the load.
        let frozen = Instant::now();
        redis.process().freeze();
        tokio::time::sleep(Duration::from_millis(110)).await; // the pause, which is part of the same rhythm
        redis.process().thaw();
        redis.cmd::<String>("PING").await;
        if frozen.elapsed() > Duration::from_millis(180) {
            return None;
        }
        tokio::time::sleep(Duration::from_millis(60)).await; // Redis answers for a while: what is tested is a rhythm
    }
    row.open();
    all_read(readers).await;
    Some(row.loads())
}

#[tokio::test]
async fn lease_is_renewed_and_filled_while_the_circuit_is_open() {
    eventually("a freeze shorter than a lease", TIMEOUT, stores_though_the_breaker_is_open).await;
}

/// Returns `None` if the freeze lasted so long that the lease may have expired.
async fn stores_though_the_breaker_is_open() -> Option<()> {
    let redis = Redis::start().await;
    let (one, other, row) = (cache(&redis).await, cache(&redis).await, Row::gated());
    let readers = vec![reader(&one, &row)];
    row.loading().await;
    let frozen = Instant::now();
    redis.process().freeze();
    // Another key, whose readers find that Redis is silent.
    let elsewhere = ExamKey(ExamId(uuid::Uuid::from_u128(1)));
    let away = Row::new();
    let silent = away.clone();
    let source = one.get_or_load(&elsewhere, move || silent.load()).await.expect("read").1;
    redis.process().thaw();
    if frozen.elapsed() > Duration::from_millis(600) {
        return None; // it lasts 1 s, and was renewed up to 300 ms before
    }
    assert_eq!(source, Source::Bypass, "the breaker is open from now on");
    row.open();
    all_read(readers).await;
    assert_eq!(other.get(&KEY).await.map(|cached| cached.version()), Some(0), "it is stored");
    Some(())
}
