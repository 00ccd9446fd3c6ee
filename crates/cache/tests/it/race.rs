//! Random readers and writers of twenty keys in two processes: writes are read back, nothing stays stale.

use std::time::Instant;

use super::*;

const KEYS: usize = 20;

fn key(n: usize) -> ExamKey {
    ExamKey(ExamId(uuid::Uuid::from_u128(n as u128)))
}

async fn version(cache: &Cache, n: usize, rows: &[Row]) -> u32 {
    let row = rows[n].clone();
    let (cached, _) = cache.get_or_load(&key(n), move || row.load()).await.expect("read");
    u32::try_from(cached.expect("there is a row").version()).expect("small")
}

/// Writes and reads of all.
#[derive(Default)]
struct Raced {
    writes: AtomicU32,
    reads: AtomicU32,
}

impl Raced {
    fn is_enough(&self) -> bool {
        self.writes.load(Ordering::Relaxed) > 100 && self.reads.load(Ordering::Relaxed) > 1_000
    }
}

/// Goes on until then, and until there was enough of a race.
async fn read_and_write(cache: Cache, rows: Arc<[Row]>, until: Instant, raced: Arc<Raced>) {
    while Instant::now() < until || !raced.is_enough() {
        assert!(Instant::now() < until + TIMEOUT, "too few to race");
        let n = fastrand::usize(..KEYS);
        if fastrand::u8(..10) == 0 {
            let (commit, names) = (uuid::Uuid::new_v4(), vec![format!("exam:{}", key(n).0)]);
            cache.before_commit(commit, &names).await;
            let written = rows[n].change();
            cache.after_commit(commit, &names).await;
            let seen = version(&cache, n, &rows).await;
            assert!(seen >= written, "wrote {written}, read {seen}");
            raced.writes.fetch_add(1, Ordering::Relaxed);
        } else {
            version(&cache, n, &rows).await;
            raced.reads.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_are_read_back_and_nothing_stays_stale() {
    let redis = Redis::start().await;
    let seconds = if std::env::var_os("EXAMHALL_LONG").is_some() { 60 } else { 10 };
    let (caches, until) = ([cache(&redis).await, cache(&redis).await], Instant::now() + Duration::from_secs(seconds));
    let rows: Arc<[Row]> = (0..KEYS).map(|_| Row::new()).collect();
    let raced = Arc::new(Raced::default());
    let race = |n: usize| read_and_write(caches[n % 2].clone(), Arc::clone(&rows), until, Arc::clone(&raced));
    let workers: Vec<_> = (0..32).map(|n| tokio::spawn(race(n))).collect();
    for worker in workers {
        worker.await.expect("nobody missed an own write");
    }
    for n in 0..KEYS {
        let current = rows[n].version.load(Ordering::SeqCst);
        for cache in &caches {
            let fresh = async || (version(cache, n, &rows).await == current).then_some(());
            examhall_testkit::eventually("memory, Redis and database to agree", LATE, fresh).await;
        }
        let stored = caches[0].get(&key(n)).await.map(|cached| cached.version());
        assert!(stored.is_none_or(|version| version == i64::from(current)), "{stored:?} is not {current}");
    }
}
