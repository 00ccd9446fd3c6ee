//! Runs jobs until Ctrl-C: `cargo run --example worker -- redis://127.0.0.1:6379 greetings 5 100`
//!
//! The last number is the duration of a job in ms. Each run writes a line to stdout: `run <id> <ms since 1970>`.
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use examhall_queue::{Connection, Job, Outcome, Queue, Worker, WorkerOptions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let name = args.next().unwrap_or_else(|| "greetings".to_owned());
    let concurrency = args.next().map_or(Ok(5), |jobs| jobs.parse())?;
    let takes = Duration::from_millis(args.next().map_or(Ok(100), |millis| millis.parse())?);

    let connection = Connection::open(&url)?;
    let queue: Queue<Value> = Queue::new(connection, "bull", &name)?;
    queue.initialize().await?; // waits for the connection and checks the server

    let handler = move |job: Job<Value>| async move {
        println!("run {} {}", job.id, SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis());
        tokio::select! {
            () = tokio::time::sleep(takes) => Outcome::Completed(json!({"greeted": job.data["to"]})),
            // Another worker may have the job: do not start what must not be done twice.
            () = job.claim.lost() => Outcome::Released,
        }
    };
    let options = WorkerOptions::default().concurrency(concurrency).name("example");
    let worker = Worker::new(queue, options, handler)?;
    println!("ready");

    let stop = CancellationToken::new();
    let stopped = stop.clone();
    tokio::spawn(async move {
        let _ = tokio::signal::ctrl_c().await;
        stopped.cancel();
    });
    worker.run(stop).await;
    Ok(())
}
