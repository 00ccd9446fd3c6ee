//! Locks: a job has one worker, until that vanishes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use examhall_queue::{JobOptions, Outcome};
use examhall_testkit::eventually;
use serde_json::Value;

use crate::{Bench, TIMEOUT, done, gated, quick, watchful};

#[tokio::test]
async fn lock_is_renewed_while_its_handler_runs() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    let (gate, handler) = gated();
    let lock = Duration::from_secs(2);
    let options = quick().lock(lock).stalled_interval(lock);
    let (_stop, _running) = bench.run_with(options, handler);
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
    let id = bench.add(JobOptions::default().priority(3)).await;
    let options = quick().lock(Duration::from_secs(1));
    let (_stop, vanishing) = bench.run_with(options, |_| std::future::pending::<Outcome>());
    bench.active(1).await;
    vanishing.abort(); // it renews no lock and reports nothing from now on
    let (_stop, _running) = bench.run_with(watchful(), done);
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
    let (_stop, _running) = bench.run(move |_| {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Outcome::Completed(Value::Null) }
    });
    bench.in_state("failed", 1).await;
    let hash = bench.hash("1").await;
    assert_eq!(runs.load(Ordering::SeqCst), 0);
    assert_eq!(hash["failedReason"], "job stalled more than allowable limit");
    assert!(!hash.contains_key("defa"), "a retry by hand runs");
}

#[tokio::test]
async fn report_without_the_lock_changes_nothing() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    let (gate, handler) = gated();
    let (_stop, _running) = bench.run_with(watchful(), handler);
    bench.active(1).await;
    bench.redis.cmd::<i64>("DEL bull:email:1:lock").await;
    gate.add_permits(1);
    let started_twice = async || bench.field("1", "ats").await.filter(|runs| runs == "2");
    eventually("the second run", TIMEOUT, started_twice).await;
    assert_eq!(bench.redis.cmd::<i64>("ZCARD bull:email:completed").await, 0, "the first report was rejected");
    gate.add_permits(1);
    bench.in_state("completed", 1).await;
    assert_eq!(bench.field("1", "stc").await.as_deref(), Some("1"));
}
