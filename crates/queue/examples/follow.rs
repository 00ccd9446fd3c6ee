//! Adds a job, follows it and waits for its result: `cargo run --example follow -- redis://127.0.0.1:6379 pages`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{error::Error, time::Duration};

use examhall_queue::{Connection, Event, Failure, Job, NewJob, Outcome, Position, Queue, Worker, WorkerOptions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Converts pages, and reports its progress.
async fn convert(job: Job<Value>) -> Outcome {
    let Some(pages) = job.data["pages"].as_u64() else {
        return Outcome::Unrecoverable(Failure::new("pages is missing")); // another run would not help
    };
    for page in 1..=pages {
        if job.claim.is_lost() {
            return Outcome::Released; // another worker may have it
        }
        // The job goes on if its progress cannot be stored.
        let _ = job.claim.set_progress(&(100 * page / pages)).await;
        let _ = job.claim.log(&format!("page {page}")).await;
    }
    Outcome::Completed(json!({"converted": pages}))
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let name = args.next().unwrap_or_else(|| "pages".to_owned());
    let queue: Queue<Value> = Queue::new(Connection::open(&url)?, "bull", &name)?;
    queue.initialize().await?; // waits for the connection and checks the server
    let mut events = queue.events(Position::Now).await?;

    let stop = CancellationToken::new();
    let worker = Worker::new(queue.clone(), WorkerOptions::default(), convert)?;
    let working = tokio::spawn(worker.run(stop.clone()));

    let job = NewJob::new("convert", json!({"pages": 4}));
    let id = queue.add(job).await?;
    loop {
        let (_position, event) = events.next().await; // store the position to continue after it later
        match event {
            Event::Progress { id: of, progress } if of == id => println!("{progress} %"),
            Event::Completed { id: of, .. } | Event::Failed { id: of, .. } if of == id => break,
            _ => {}
        }
    }

    let failing = NewJob::new("convert", json!({}));
    let failing = queue.add(failing).await?;
    for id in [&id, &failing] {
        let job = queue.wait_for_end(id, Duration::from_secs(30)).await?;
        let lines = queue.logs(id, 0, 10).await?.len();
        println!("{}: {:?} {:?}, {lines} lines of log", job.state, job.returnvalue, job.failed_reason);
    }
    stop.cancel(); // lets running jobs finish
    working.await?;
    Ok(())
}
