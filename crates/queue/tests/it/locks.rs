//! What a lock is for: a job is one worker's, until that vanishes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use examhall_queue::{JobOptions, Outcome, WorkerOptions};
use examhall_testkit::eventually;
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};

use crate::{Bench, TIMEOUT, quick, watchful};

#[tokio::test]
async fn lock_is_renewed_while_its_handler_runs() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    let gate = Arc::new(Semaphore::new(0));
    let inside = Arc::clone(&gate);
    let lock = Duration::from_secs(2);
    let options = WorkerOptions { lock, stalled_interval: lock, ..quick() };
    let handler = move |_| {
        let gate = Arc::clone(&inside);
        async move {
            gate.acquire().await.expect("open").forget();
            Outcome::Completed(Value::Null)
        }
    };
    let (_stop, _running) = bench.run_with(options, handler).await;
    let mut clock = tokio::time::interval(Duration::from_millis(50));
    bench.active(1).await;
    let until = std::time::Instant::now() + 3 * lock;
    while std::time::Instant::now() < until {
        assert!(bench.redis.cmd::<i64>("PTTL bull:email:1:lock").await > 0, "the lock ended");
        clock.tick().await;
    }
    gate.add_permits(1);
    bench.in_state("completed", 1).await;
    let hash = bench.hash("1").await;
    assert_eq!((hash["ats"].as_str(), hash.get("stc")), ("1", None));
}

#[tokio::test]
async fn job_of_a_vanished_worker_is_recovered_with_its_priority() {
    let bench = Bench::start().await;
    let id = bench.add(JobOptions { priority: 3, ..JobOptions::default() }).await;
    let (taken, mut has) = mpsc::unbounded_channel();
    let handler = move |_| {
        taken.send(()).expect("the test listens");
        std::future::pending()
    };
    let options = WorkerOptions { lock: Duration::from_secs(1), ..quick() };
    let (_stop, vanishing) = bench.run_with(options, handler).await;
    has.recv().await;
    vanishing.abort(); // its locks are renewed no more, and it reports nothing
    let (_stop, _running) = bench.run_with(watchful(), |_| async { Outcome::Completed(Value::Null) }).await;
    bench.in_state("completed", 1).await;
    let hash = bench.hash(&id).await;
    assert_eq!((hash["stc"].as_str(), hash["ats"].as_str(), hash["atm"].as_str()), ("1", "2", "1"));
    assert_eq!(hash["priority"], "3");
}

#[tokio::test]
async fn job_that_stalled_too_often_fails_without_a_run() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    bench
        .redis
        .command::<i64>(&["HSET", "bull:email:1", "stc", "2", "defa", "job stalled more than allowable limit"])
        .await;
    let runs = Arc::new(AtomicU32::new(0));
    let counted = Arc::clone(&runs);
    let (_stop, _running) = bench
        .run(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
            async { Outcome::Completed(Value::Null) }
        })
        .await;
    bench.in_state("failed", 1).await;
    let hash = bench.hash("1").await;
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    assert_eq!(hash["failedReason"], "job stalled more than allowable limit");
    assert!(!hash.contains_key("defa"), "a retry by hand must run");
}

#[tokio::test]
async fn report_without_the_lock_changes_nothing() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    let gate = Arc::new(Semaphore::new(0));
    let (inside, runs) = (Arc::clone(&gate), Arc::new(AtomicU32::new(0)));
    let counted = Arc::clone(&runs);
    let handler = move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        let gate = Arc::clone(&inside);
        async move {
            gate.acquire().await.expect("open").forget();
            Outcome::Completed(Value::Null)
        }
    };
    let (_stop, _running) = bench.run_with(watchful(), handler).await;
    eventually("taken", TIMEOUT, || async { (runs.load(Ordering::SeqCst) == 1).then_some(()) }).await;
    bench.redis.cmd::<i64>("DEL bull:email:1:lock").await;
    gate.add_permits(1);
    eventually("run again", TIMEOUT, || async { (runs.load(Ordering::SeqCst) == 2).then_some(()) }).await;
    assert_eq!(bench.redis.cmd::<i64>("ZCARD bull:email:completed").await, 0, "the first ending did not count");
    gate.add_permits(1);
    bench.in_state("completed", 1).await;
    assert_eq!(bench.field("1", "stc").await.as_deref(), Some("1"));
}
