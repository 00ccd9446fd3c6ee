//! Inspects and repairs a queue: `cargo run --example admin -- redis://127.0.0.1:6379 greetings`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{error::Error, time::Duration};

use examhall_queue::{Attempts, Connection, ListOrder, Queue, State};
use serde_json::Value;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let name = args.next().unwrap_or_else(|| "greetings".to_owned());

    let connection = Connection::open(&url)?;
    let queue: Queue<Value> = Queue::new(connection, "bull", &name)?;
    queue.initialize().await?; // waits for the connection and checks the server

    println!("{:?}", queue.counts().await?);
    for oldest in queue.oldest_waiting().await? {
        println!("priority {}: the first job waits since {}", oldest.priority, oldest.timestamp);
    }
    for worker in queue.workers().await? {
        println!("worker {:?} at {}", worker.name, worker.address);
    }
    for job in queue.list(State::Failed, 0, 10, ListOrder::NewestFirst).await? {
        println!("{} failed after {} runs: {}", job.id, job.attempts_made, job.failed_reason.unwrap_or_default());
    }
    let retried = queue.retry_failed(Some("try again later"), Attempts::Reset).await?;
    let removed = queue.clean(State::Completed, Duration::from_secs(24 * 3600), 1000).await?;
    println!("{retried} run again, {} old ones removed", removed.len());
    Ok(())
}
