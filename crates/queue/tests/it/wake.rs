//! Which worker is woken when jobs are ready or due.

use std::{sync::Arc, time::Duration};

use examhall_queue::{Job, Outcome, Queue, Worker};
use examhall_testkit::eventually;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{Bench, TIMEOUT, done, named, quick};

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

#[tokio::test]
async fn stopped_worker_takes_no_wake_up() {
    let bench = Bench::start().await;
    for is_dropped in [false, true] {
        let (stop, running) = bench.run_with(quick().drain_delay(Duration::from_mins(10)), done);
        bench.blocked(1).await;
        if is_dropped {
            running.abort();
        } else {
            stop.cancel();
            running.await.expect("stops");
        }
        bench.blocked(0).await;
        bench.add(named(if is_dropped { "b" } else { "a" })).await;
        bench.blocked(0).await;
        assert_eq!(bench.redis.cmd::<i64>("ZCARD bull:email:marker").await, 1, "it is left to others");
    }
}

#[tokio::test]
async fn end_of_a_block_wakes_nobody() {
    let bench = Bench::start().await;
    bench.add(named("later").delay(Duration::from_hours(1))).await;
    bench.queue.pause().await.expect("paused");
    bench.redis.cmd::<i64>("DEL bull:email:marker").await;
    bench.redis.cmd::<String>("CONFIG RESETSTAT").await;
    let (_stop, _running) = bench.run_with(quick().drain_delay(Duration::from_millis(50)), done);
    let stats = async || bench.redis.cmd::<String>("INFO commandstats").await;
    let calls = |stats: &str, command: &str| {
        let line = stats.lines().find_map(|line| line.strip_prefix(command))?;
        line.split(',').next()?.parse::<u32>().ok()
    };
    let many = async || calls(&stats().await, "cmdstat_bzpopmin:calls=").filter(|calls| *calls > 20).map(|_| ());
    eventually("many blocks", TIMEOUT, many).await;
    assert_eq!(calls(&stats().await, "cmdstat_zadd:calls="), None);
}

#[tokio::test]
async fn worker_with_a_name_that_redis_refuses_blocks() {
    let bench = Bench::start().await;
    let queue: Queue<Value> = Queue::new(bench.queue.connection().clone(), "my büll", "é-mail").expect("good names");
    let options = quick().name("rüst 1").drain_delay(Duration::from_mins(10));
    let worker = Worker::new(queue.clone(), options, done).expect("good options");
    tokio::spawn(worker.run(CancellationToken::new()));
    bench.blocked(1).await;
    assert_eq!(queue.workers().await.expect("listed").len(), 1);
}
