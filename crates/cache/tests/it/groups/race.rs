//! Changes of groups that meet readers of their keys.

use super::*;

/// Reads and writes until then, and until there was enough of a race.
async fn race(cache: Cache, rows: Arc<BTreeMap<u32, Row>>, until: Instant) {
    let (mut reads, mut writes) = (0, 0);
    while Instant::now() < until || reads < 50 || writes < 5 {
        assert!(Instant::now() < until + TIMEOUT, "too few to race");
        let (key, row) = {
            let n = fastrand::u32(..4);
            (BookKey(n, fastrand::u32(..5)), &rows[&n])
        };
        if fastrand::u8(..10) == 0 {
            let group = if fastrand::bool() { shelf(key.0) } else { all() };
            let invalidation = cache.invalidation(&[group]).await.expect("a good group");
            let written = row.change();
            invalidation.committed().await;
            let (seen, _) = read_book(&cache, key, row).await;
            assert!(seen >= written, "wrote {written}, read {seen}");
            writes += 1;
        } else {
            read_book(&cache, key, row).await;
            reads += 1;
        }
    }
}

/// Writers change all books of a shelf at once, readers in two processes check that they see their own writes, and that no
/// older value stays.
#[tokio::test(flavor = "multi_thread")]
async fn changes_of_groups_race_with_reads_and_nothing_stays_stale() {
    let redis = Redis::start().await;
    let seconds = if std::env::var_os("EXAMHALL_LONG").is_some() { 60 } else { 1 };
    let (caches, until) = ([cache(&redis).await, cache(&redis).await], Instant::now() + Duration::from_secs(seconds));
    let rows: Arc<BTreeMap<u32, Row>> = Arc::new((0..4).map(|shelf| (shelf, Row::new())).collect());
    let workers: Vec<_> =
        (0..16).map(|n| tokio::spawn(race(caches[n % 2].clone(), Arc::clone(&rows), until))).collect();
    for worker in workers {
        worker.await.expect("nobody missed an own write");
    }
    for (shelf, row) in &*rows {
        let current = row.version.load(Ordering::SeqCst);
        for (cache, n) in caches.iter().flat_map(|cache| (0..5).map(move |n| (cache, n))) {
            let fresh = async || (read_book(cache, BookKey(*shelf, n), row).await.0 == current).then_some(());
            eventually("memory, Redis and database to agree", LATE, fresh).await;
        }
    }
}
