//! Adding and running jobs.

use std::time::{Duration, Instant};

use examhall_queue::{Connection, Job, JobOptions, NewJob, Outcome, Queue, Worker, WorkerOptions};
use examhall_testkit::Redis;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Jobs in one call where they are added in bulk.
const BULK: u32 = 100;

pub(crate) async fn measure(count: u32) -> anyhow::Result<()> {
    let redis = Redis::start().await;
    let connection = Connection::open(&redis.url())?;
    connection.ready().await?;
    let queue: Queue<Value> = Queue::new(connection, "bull", "bench")?;

    crate::print("add, 50 in flight", count, add(&queue, count, 50).await?);
    for slots in [5, 50] {
        crate::print(&format!("no-op jobs, {slots} slots"), count, run(&redis, &queue, slots).await?);
        let jobs: Vec<_> = (0..BULK).map(|_| job()).collect();
        let started = Instant::now();
        for _ in 0..count / BULK {
            queue.add_all(&jobs).await?;
        }
        if slots == 5 {
            crate::print("add, 100 a call", count / BULK * BULK, started.elapsed().as_secs_f64());
        }
    }
    Ok(())
}

async fn add(queue: &Queue<Value>, count: u32, in_flight: u32) -> anyhow::Result<f64> {
    let started = Instant::now();
    let producers: Vec<_> = (0..in_flight)
        .map(|_| {
            let queue = queue.clone();
            tokio::spawn(async move {
                for _ in 0..count / in_flight {
                    queue.add(job()).await?;
                }
                Ok::<_, examhall_queue::Error>(())
            })
        })
        .collect();
    for producer in producers {
        producer.await??;
    }
    Ok(started.elapsed().as_secs_f64())
}

async fn run(redis: &Redis, queue: &Queue<Value>, slots: usize) -> anyhow::Result<f64> {
    let sleeping = Connection::open(&redis.url())?;
    sleeping.ready().await?;
    let options = WorkerOptions { concurrency: slots, ..WorkerOptions::default() };
    let handler = |_: Job<Value>| async { Outcome::Completed(Value::Null) };
    let worker = Worker::new(queue.clone(), sleeping, options, handler);
    let started = Instant::now();
    worker.drain(Duration::ZERO, CancellationToken::new()).await;
    Ok(started.elapsed().as_secs_f64())
}

/// A job of 1 KB.
fn job() -> NewJob<Value> {
    NewJob { name: "bench".to_owned(), data: json!({"pad": "x".repeat(1000)}), options: JobOptions::default() }
}
