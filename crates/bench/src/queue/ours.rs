//! The work as our queue does it, in a process of its own like every peer's.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_queue::{Connection, Error, Job, NewJob, Outcome, Queue, Worker, WorkerOptions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use super::work::Work;

/// The queue that everybody works on.
pub(super) const QUEUE: &str = "bench";

/// Does one work; returns the seconds it took.
pub(super) async fn measure(url: &str, work: Work, count: u32) -> anyhow::Result<f64> {
    let queue: Queue<Value> = Queue::new(connect(url).await?, "bull", QUEUE)?;
    match work {
        Work::Add(in_flight) => add(&queue, count, in_flight).await,
        Work::Bulk(a_call) => add_in_bulk(&queue, count, a_call).await,
        Work::Run(slots) => run(&queue, count, slots).await,
    }
}

pub(super) async fn connect(url: &str) -> Result<Connection, Error> {
    let connection = Connection::open(url)?;
    connection.ready().await?;
    Ok(connection)
}

pub(super) async fn add(queue: &Queue<Value>, count: u32, in_flight: u32) -> anyhow::Result<f64> {
    let started = Instant::now();
    let callers: Vec<_> = (0..in_flight)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for _ in 0..count / in_flight {
                    queue.add(job()).await?;
                }
                Ok::<_, Error>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Adds `a_call` jobs a call, one call after the other.
pub(super) async fn add_in_bulk(queue: &Queue<Value>, count: u32, a_call: u32) -> anyhow::Result<f64> {
    let jobs: Vec<_> = (0..a_call).map(|_| job()).collect();
    let started = Instant::now();
    for _ in 0..count / a_call {
        queue.add_all(&jobs).await?;
    }
    Ok(started.elapsed().as_secs_f64())
}

async fn run(queue: &Queue<Value>, count: u32, slots: u32) -> anyhow::Result<f64> {
    let options = WorkerOptions::default().concurrency(slots as usize);
    let handler = |_: Job<Value>| async { Outcome::Completed(Value::Null) };
    let worker = Worker::new(queue.clone(), options, handler)?;
    let started = Instant::now();
    let drained = worker.drain(Duration::ZERO, CancellationToken::new()).await;
    let seconds = started.elapsed().as_secs_f64();
    anyhow::ensure!(drained.completed == u64::from(count), "{} of {count} jobs were run", drained.completed);
    Ok(seconds)
}

/// Runs `count` of the jobs that wait; returns the seconds it took. A few more are run meanwhile.
pub(super) async fn run_some(queue: &Queue<Value>, count: u32, slots: usize) -> anyhow::Result<f64> {
    let (stop, left) = (CancellationToken::new(), Arc::new(AtomicU32::new(count)));
    let stopped = stop.clone();
    let handler = move |_: Job<Value>| {
        if left.fetch_sub(1, Ordering::Relaxed) == 1 {
            stopped.cancel();
        }
        std::future::ready(Outcome::Completed(Value::Null))
    };
    let worker = Worker::new(queue.clone(), WorkerOptions::default().concurrency(slots), handler)?;
    let started = Instant::now();
    worker.run(stop).await;
    Ok(started.elapsed().as_secs_f64())
}

/// A job of 1 KB.
fn job() -> NewJob<Value> {
    NewJob::new("bench", json!({"pad": "x".repeat(1000)}))
}
