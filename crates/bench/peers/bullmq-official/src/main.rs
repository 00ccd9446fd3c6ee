//! One measurement of the crate `bullmq-official`: `bullmq-official-peer <port> <add|bulk|run> <count> <width>`.
//! Prints `{"seconds": ...}` and ends when stdin does, so that its memory can be looked at meanwhile.

use std::{io::Read, sync::Arc, time::Instant};

use bullmq::{BulkJob, Job, Queue, QueueOptions, Worker, WorkerOptions, options::RedisConnectionOptions, worker};
use serde_json::{Value, json};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[tokio::main]
async fn main() -> Result<()> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [port, work, count, width] = args.as_slice() else { return Err("<port> <work> <count> <width>".into()) };
    let connection = RedisConnectionOptions::new().url(format!("redis://127.0.0.1:{port}"));
    let (count, width) = (count.parse()?, width.parse()?);
    let seconds = match work.as_str() {
        "add" => add(connection, count, width).await?,
        "bulk" => bulk(connection, count, width).await?,
        "run" => run(connection, count, width).await?,
        other => return Err(format!("unknown work {other}").into()),
    };
    println!("{}", json!({ "seconds": seconds }));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn data() -> Value {
    json!({"pad": "x".repeat(1000)})
}

/// `width` callers, each of which waits for its answer before it adds again.
async fn add(connection: RedisConnectionOptions, count: usize, width: usize) -> Result<f64> {
    let queue = Arc::new(Queue::with_options("bench", QueueOptions::new().connection(connection)).await?);
    let started = Instant::now();
    let callers: Vec<_> = (0..width)
        .map(|_| {
            let queue = Arc::clone(&queue);
            tokio::spawn(async move {
                for _ in 0..count / width {
                    queue.add("bench", data()).await?;
                }
                Ok::<_, bullmq::Error>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Calls of `width` jobs, one after the other.
async fn bulk(connection: RedisConnectionOptions, count: usize, width: usize) -> Result<f64> {
    let queue = Queue::with_options("bench", QueueOptions::new().connection(connection)).await?;
    let started = Instant::now();
    for _ in 0..count / width {
        queue.add_bulk((0..width).map(|_| BulkJob::new("bench", data())).collect()).await?;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// `count` jobs that are there already, in `width` slots.
async fn run(connection: RedisConnectionOptions, count: usize, width: usize) -> Result<f64> {
    let options = WorkerOptions { connection, concurrency: width, autorun: false, ..WorkerOptions::default() };
    let handler = |_: Job, _: worker::CancellationToken| async { Ok(Value::Null) };
    let worker = Worker::with_options("bench", handler, options).await?;
    let started = Instant::now();
    worker.run().await?;
    let mut completed = 0;
    while completed < count {
        match worker.next_event().await {
            Some(worker::WorkerEvent::Completed { .. }) => completed += 1,
            Some(worker::WorkerEvent::Error(error)) => return Err(error.into()),
            Some(_) => {}
            None => return Err("the worker ended".into()),
        }
    }
    Ok(started.elapsed().as_secs_f64())
}
