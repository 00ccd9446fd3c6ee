//! A job queue on Redis that speaks BullMQ's protocol, so Node and Rust producers and workers can share one queue.
//!
//! ```text
//!              add                       take                    completed
//!   producer ───────> wait, prioritized ─────> active ─────────────────────> completed
//!       │                     ^                  │ │ failed, attempts left
//!       │ with a delay        │ due              │ └──────────> delayed ──┐
//!       └──────> delayed ─────┘ <────────────────│────────────────────────┘
//!                                                │ failed, none left
//!                                                └──────────> failed
//! ```
//! Every step is one Lua script, so a process that dies between any two of them loses nothing: a job is always in
//! exactly one of these states. The scripts were written from the facts of BullMQ's layout (5.66 and 6.7) and are tested
//! against both. The crate knows no mail, no SQL and no HTTP.
//!
//! # A producer
//! ```no_run
//! use examhall_queue::{Backoff, Connection, RetryPolicy, Deduplication, JobOptions, NewJob, Queue};
//! # use std::time::Duration;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Greeting {
//!     to: String,
//! }
//!
//! # async fn run() -> Result<(), examhall_queue::Error> {
//! let connection = Connection::open("redis://127.0.0.1:6379")?;
//! let queue: Queue<Greeting> = Queue::new(connection, "bull", "greetings")?;
//! queue.initialize().await?; // connected, and a server that suits
//!
//! let options = JobOptions {
//!     job_id: Some("guest-7".into()), // adding it again changes nothing
//!     priority: 2,                    // 1 goes first; 0, none, before all
//!     delay: Duration::from_secs(60),
//!     retry: RetryPolicy { attempts: 3, backoff: Backoff::exponential(Duration::from_secs(2)) },
//!     deduplication: Some(Deduplication::ttl("guest", Duration::from_secs(60))),
//!     ..JobOptions::default()
//! };
//! let id = queue.add(NewJob { name: "greet".into(), data: Greeting { to: "Ada".into() }, options }).await?;
//! # Ok(())
//! # }
//! ```
//! Many at once are added by [`Queue::add_all`], each script all or none of them.
//!
//! # A worker
//! ```no_run
//! use examhall_queue::{Connection, Failure, Job, Outcome, Queue, Worker, WorkerOptions};
//! use tokio_util::sync::CancellationToken;
//! # use std::time::Duration;
//! # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
//! let handler = |job: Job<serde_json::Value>| async move {
//!     if job.claim.is_lost() {
//!         return Outcome::Returned; // another worker may have it
//!     }
//!     match job.data["to"].as_str() {
//!         Some(guest) => Outcome::Completed(format!("hello {guest}").into()),
//!         None => Outcome::Unrecoverable(Failure::new("to is missing")),
//!     }
//! };
//! let sleeping = Connection::open("redis://127.0.0.1:6379")?; // for nothing but waiting
//! let worker = Worker::new(queue, sleeping, WorkerOptions::default(), handler);
//! let control = worker.control();
//! let stop = CancellationToken::new();
//! let running = tokio::spawn(worker.run(stop.clone()));
//!
//! control.set_concurrency(20); // 0: take nothing more
//! stop.cancel(); // ends what runs, gives back what takes too long
//! # Ok(())
//! # }
//! ```
//! How a run ends is an [`Outcome`]: done, failed and retried, failed for good, put off, or given back. A handler that
//! panics fails its job and nothing else.
//!
//! # An operator
//! ```no_run
//! use examhall_queue::{Attempts, Order, Queue, State};
//! # use std::time::Duration;
//! # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
//! println!("{:?}, oldest of each priority {:?}", queue.counts().await?, queue.oldest_waiting().await?);
//! for job in queue.list(State::Failed, 0, 20, Order::NewestFirst).await? {
//!     println!("{}: {}", job.id, job.failed_reason.unwrap_or_default());
//! }
//! queue.retry_failed(Some("connection refused"), Attempts::Reset).await?; // with their priorities
//! queue.clean(State::Completed, Duration::from_secs(3600), 10_000).await?;
//! queue.pause().await?; // all workers of the queue, Node's too
//! # Ok(())
//! # }
//! ```
//!
//! # What happens, as it happens
//! ```no_run
//! use examhall_queue::{Connection, Event, Position, Queue};
//! # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
//! let sleeping = Connection::open("redis://127.0.0.1:6379")?;
//! let mut events = queue.events(sleeping, Position::Now).await?;
//! loop {
//!     let (position, event) = events.next().await; // keep the position to go on after it another time
//!     if let Event::Failed { id, reason } = event {
//!         println!("{position}: {id} failed: {reason}");
//!     }
//! }
//! # }
//! ```
//!
//! # What is different from BullMQ
//! - Jobs that stalled or that are retried by hand keep their priority; BullMQ puts them ahead of all others.
//! - The death of a worker of this crate is noticed within about 5 s, by a missing sign of life and a connection that is
//!   gone, not after lock and stalled interval. A worker that is frozen keeps its jobs while their locks last.
//! - Broken entries (no hash, no JSON, more than 8 MB) end in `failed` with a reason, and dashboards can show them.
//! - Adding many jobs is atomic per script. Callers that add at the same time share scripts.
//! - Flows and job schedulers are left to BullMQ's own workers: jobs of theirs fail here with a sentence that says so.

mod claim;
mod clock;
mod error;
mod events;
mod job;
mod keys;
mod options;
mod outcome;
mod queue;
mod script;
#[cfg(test)]
mod sequences;
mod state;
mod worker;

pub use claim::Claim;
pub use error::Error;
pub use events::{Event, Events, Position};
pub use examhall_core::{AfterFailure, Backoff, BackoffKind, RetryPolicy};
pub use examhall_redis::{Connection, Error as RedisError};
pub use job::Job;
pub use options::{Deduplication, JobOptions, Retention};
pub use outcome::{Failure, Outcome};
pub use queue::{
    Attempts, Concern, ConnectedWorker, Counts, Ended, INSPECTIONS, Inspection, JobRecord, NewJob, Oldest, Order,
    Queue, Suitability,
};
pub use state::{State, UnknownState};
pub use worker::{Drained, Handler, Tally, Worker, WorkerControl, WorkerOptions};
