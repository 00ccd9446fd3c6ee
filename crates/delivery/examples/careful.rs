//! An effect that must not happen twice, nor too often: `cargo run --example careful -- redis://127.0.0.1:6379 payments`
#![expect(clippy::print_stdout, reason = "a program for a terminal")]

use std::{
    error::Error,
    time::{Duration, SystemTime},
};

use examhall_delivery::{DeliveryState, Ledger, LedgerEntry, Permit, Rate, RateLimiter};
use examhall_queue::{Connection, Failure, Handler, Job, JobOptions, NewJob, Outcome, Queue, Worker, WorkerOptions};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Pays, by somebody else's service that takes ten payments in a second.
struct Payer {
    ledger: Ledger,
    limiter: RateLimiter,
}

impl Payer {
    async fn pay(&self, job: &Job<Value>) -> Result<Outcome, examhall_delivery::Error> {
        let known = self.ledger.read(&job.id).await?;
        match known.entry() {
            Some(entry) if entry.state == DeliveryState::Accepted => return Ok(Outcome::Completed(entry.result)),
            // Begun by a worker that died: nobody knows. Who can ask the service asks; here somebody must look.
            Some(entry) if entry.state == DeliveryState::Intent => {
                return Ok(Outcome::Unrecoverable(Failure::new(format!("{} is in doubt", entry.message_id))));
            }
            _ => {}
        }
        if let Permit::After(wait) = self.limiter.take("service", Rate::per(10, Duration::from_secs(1))).await? {
            return Ok(Outcome::Snoozed(wait)); // spends no attempt
        }
        if self.ledger.replace(&job.id, &known, &entry(&job.id, DeliveryState::Intent, Value::Null)).await?.is_none() {
            return Ok(Outcome::Released); // another worker has it
        }
        if job.claim.is_lost() {
            return Ok(Outcome::Released); // looked at last: from here on it happens
        }
        let receipt = json!({"paid": job.data["cents"]});
        self.ledger.put(&job.id, &entry(&job.id, DeliveryState::Accepted, receipt.clone())).await?;
        Ok(Outcome::Completed(receipt))
    }
}

impl Handler<Value> for Payer {
    async fn run(&self, job: Job<Value>) -> Outcome {
        // Redis is away: nobody knows whether it was paid, so it is not.
        self.pay(&job).await.unwrap_or(Outcome::Snoozed(Duration::from_secs(1)))
    }
}

fn entry(id: &str, state: DeliveryState, result: Value) -> LedgerEntry {
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_millis();
    let at = i64::try_from(now).unwrap_or(i64::MAX);
    LedgerEntry { state, message_id: format!("payment-{id}"), at, result, ..LedgerEntry::default() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let url = args.next().unwrap_or_else(|| "redis://127.0.0.1:6379".to_owned());
    let name = args.next().unwrap_or_else(|| "payments".to_owned());
    let connection = Connection::open(&url)?;
    let queue: Queue<Value> = Queue::new(connection.clone(), "bull", &name)?;
    queue.initialize().await?; // connected, and a server that suits

    let week = Duration::from_hours(7 * 24);
    let payer = || Payer {
        ledger: Ledger::new(connection.clone(), "paid:", week),
        limiter: RateLimiter::new(connection.clone(), "limit:"),
    };
    // As a worker leaves it that dies while it pays.
    payer().ledger.put("in-doubt", &entry("in-doubt", DeliveryState::Intent, Value::Null)).await?;
    let ids = (1..=20).map(|number| format!("order-{number}")).chain(["in-doubt".to_owned()]);
    let jobs: Vec<_> =
        ids.map(|id| NewJob::new("pay", json!({"cents": 995})).options(JobOptions::default().job_id(id))).collect();
    queue.add_all(&jobs).await?;
    queue.add_all(&jobs).await?;

    let worker = Worker::new(queue.clone(), WorkerOptions::default(), payer())?;
    // Until nothing is left, and until what was put off for less than 10 s has been done too.
    let drained = worker.drain(Duration::from_secs(10), CancellationToken::new()).await;
    println!("{} paid, not paid: {:?}", drained.completed, drained.failed);
    Ok(())
}
