//! Opening, closing and dropping caches leaves nothing behind.

use examhall_testkit::{alone, eventually};

use super::*;

/// Threads and open descriptors of this process.
fn held() -> (usize, usize) {
    let count = |folder| std::fs::read_dir(folder).expect("Linux").count();
    (count("/proc/self/task"), count("/proc/self/fd"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropped_caches_leave_no_thread_or_descriptor() {
    if !alone("lifetime::dropped_caches_leave_no_thread_or_descriptor") {
        return;
    }
    let redis = Redis::start().await;
    let row = Row::new();
    read(&cache(&redis).await, &row).await; // what is made once per process
    let settled = async || {
        let first = held();
        tokio::time::sleep(Duration::from_millis(200)).await; // to compare over a time
        (held() == first).then_some(first)
    };
    let before = eventually("a steady state", TIMEOUT, settled).await;
    let open = || Cache::builder(KEY_SPACES).open(&redis.url()).expect("a good URL");
    for n in 0..20_u32 {
        match n % 5 {
            0 => drop(open()), // not connected yet
            1 => open().close().await,
            2 => {
                let cache = cache(&redis).await;
                read(&cache, &row).await;
                drop(cache);
            }
            3 => {
                let (cache, gated) = (cache(&redis).await, Row::gated());
                let reading = other_reader(&cache, &gated, n.into());
                gated.loading().await;
                drop(cache); // while it loads
                gated.open();
                assert!(reading.await.expect("no panic").expect("read"));
            }
            _ => {
                let cache = cache(&redis).await;
                tokio::task::spawn_blocking(move || std::thread::spawn(move || drop(cache)).join()) // outside a runtime
                    .await
                    .expect("no panic")
                    .expect("no panic");
            }
        }
    }
    let most = (before.0 + 2, before.1 + 2); // a blocking thread that the runtime keeps for a while
    let left = async || {
        let held = held();
        (held.0 <= most.0 && held.1 <= most.1).then_some(held)
    };
    eventually("all to be gone", Duration::from_secs(20), left).await;
}
