//! Adds jobs, one by one and in bulk: `cargo run --example producer -- redis://127.0.0.1:6379 greetings 100`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{error::Error, time::Duration};

use examhall_queue::{Backoff, JobOptions, NewJob, Queue};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Greeting {
    to: String,
}

fn greet(number: u32) -> NewJob<Greeting> {
    NewJob::new("greet", Greeting { to: format!("guest {number}") })
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let name = args.next().unwrap_or_else(|| "greetings".to_owned());
    let count: u32 = args.next().map_or(Ok(10), |count| count.parse())?;

    let queue: Queue<Greeting> = Queue::builder(&name).open(&url)?;
    queue.initialize().await?; // waits for the connection and checks the server

    // Up to three runs, 2 s and 4 s apart; ahead of all jobs with a higher number.
    let options = JobOptions::default().attempts(3).backoff(Backoff::exponential(Duration::from_secs(2)));
    let urgent = queue.add(greet(0).options(options.clone().priority(1))).await?;
    println!("added {urgent}");

    let jobs: Vec<_> = (1..count).map(|number| greet(number).options(options.clone())).collect();
    let ids = queue.add_all(&jobs).await?;
    println!("added {} more; {:?}", ids.len(), queue.counts().await?);
    Ok(())
}
