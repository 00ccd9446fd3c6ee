//! Which worker is woken when jobs are ready or due.

use std::{sync::Arc, time::Duration};

use examhall_queue::{Job, Outcome};
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{Bench, done, named, quick};

#[tokio::test]
async fn full_worker_passes_its_wake_up_on() {
    let bench = Bench::start().await;
    let never = quick().drain_delay(Duration::from_mins(10));
    let gate = Arc::new(Semaphore::new(0));
    let held = gate.clone();
    let holding = move |job: Job<Value>| {
        let gate = held.clone();
        async move {
            if job.id != "first" || gate.acquire().await.map(SemaphorePermit::forget).is_err() {
                std::future::pending::<()>().await;
            }
            Outcome::Completed(Value::Null)
        }
    };
    let full = bench.worker(never.clone().concurrency(2), holding);
    tokio::spawn(full.run(CancellationToken::new()));
    bench.add(named("first")).await;
    bench.active(1).await;
    bench.blocked(1).await; // for its other slot
    let idle = bench.worker(never, done);
    tokio::spawn(idle.run(CancellationToken::new()));
    bench.blocked(2).await;
    // Three more are added without a marker. Once the first job has ended, two fill the slots; the marker for the third
    // wakes the worker that has been blocked longest, which is the full one.
    for id in ["second", "third", "fourth"] {
        let hash = format!("bull:email:{id}");
        bench.redis.command::<i64>(&["HSET", &hash, "name", "x", "data", "{}", "opts", "{}", "timestamp", "1"]).await;
        bench.redis.cmd::<i64>(&format!("LPUSH bull:email:wait {id}")).await;
    }
    gate.add_permits(1);
    bench.active(2).await;
    bench.in_state("completed", 2).await;
}

#[tokio::test]
async fn blocked_worker_is_woken_by_ready_and_due_jobs() {
    let bench = Bench::start().await;
    let (ran, mut ids) = mpsc::unbounded_channel();
    let options = quick().drain_delay(Duration::from_mins(2));
    let handler = move |job: Job<Value>| {
        ran.send(job.id).expect("the test listens");
        async { Outcome::Completed(Value::Null) }
    };
    let (_stop, _running) = bench.run_with(options, handler);
    bench.blocked(1).await;
    let started = std::time::Instant::now();
    let delay = Duration::from_secs(2);
    bench.add(named("later").delay(delay)).await;
    bench.add(named("now")).await;
    assert_eq!(ids.recv().await.as_deref(), Some("now"));
    assert_eq!(ids.recv().await.as_deref(), Some("later"));
    let waited = started.elapsed();
    assert!(waited >= delay && waited < Duration::from_mins(1), "sooner than the drain delay: {waited:?}");
}
