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
//! Each transition is one Lua script, so no job is lost if a process dies: a job is always in exactly one of these states.
//! The scripts were written from the facts of BullMQ's layout (5.66 and 6.7) and are tested against both. Patterns:
//! at-least-once delivery, a lease with a fencing token per job ([`Claim`]), heartbeats of workers, retries with backoff,
//! idempotent adds ([`JobOptions::job_id`], [`Deduplication`]), batched adds and reports.
//!
//! # A producer
//! ```no_run
//! use examhall_queue::{Backoff, JobOptions, NewJob, Queue};
//! # use std::time::Duration;
//!
//! #[derive(serde::Serialize, serde::Deserialize)]
//! struct Greeting {
//!     to: String,
//! }
//!
//! # async fn run() -> Result<(), examhall_queue::Error> {
//! let queue: Queue<Greeting> = Queue::builder("greetings").open("redis://127.0.0.1:6379")?;
//! queue.initialize().await?; // waits for the connection and checks the server
//!
//! let options = JobOptions::default()
//!     .job_id("guest-7") // adding it again changes nothing
//!     .priority(2) // 1 goes first; 0, none, before all
//!     .attempts(3)
//!     .backoff(Backoff::exponential(Duration::from_secs(2)));
//! let id = queue.add(NewJob::new("greet", Greeting { to: "Ada".into() }).options(options)).await?;
//! # Ok(())
//! # }
//! ```
//! [`Queue::add_all`] adds many at once, atomically per script.
//!
//! # A worker
//! ```no_run
//! use examhall_queue::{Failure, Job, Outcome, Queue, Worker, WorkerOptions};
//! use tokio_util::sync::CancellationToken;
//! # use std::time::Duration;
//! # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
//! let handler = |job: Job<serde_json::Value>| async move {
//!     if job.claim.is_lost() {
//!         return Outcome::Released; // another worker may have it
//!     }
//!     match job.data["to"].as_str() {
//!         Some(guest) => Outcome::Completed(format!("hello {guest}").into()),
//!         None => Outcome::Unrecoverable(Failure::new("to is missing")),
//!     }
//! };
//! let worker = Worker::new(queue, WorkerOptions::default(), handler)?;
//! let control = worker.control();
//! let stop = CancellationToken::new();
//! let running = tokio::spawn(worker.run(stop.clone()));
//!
//! control.set_concurrency(20); // 0: take no more jobs
//! stop.cancel(); // lets running jobs finish, releases those that take too long
//! # Ok(())
//! # }
//! ```
//! A run ends with an [`Outcome`]: completed, failed and retried, failed for good, snoozed, or released. A handler may also
//! return any `Result` and use `?`: see [`Handler`]. A handler that panics fails only its job.
//!
//! Several kinds of jobs in one queue go to a [`Router`] of handlers. [`Worker::builder`] adds hooks for what the worker
//! does ([`WorkerEvent`]); each run has a `tracing` span `job` with `id`, `name` and `attempt` (target `examhall_queue::job`,
//! level DEBUG).
//!
//! # An operator
//! ```no_run
//! use examhall_queue::{Attempts, ListOrder, Queue, State};
//! # use std::time::Duration;
//! # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
//! println!("{:?}, oldest of each priority {:?}", queue.counts().await?, queue.oldest_waiting().await?);
//! for job in queue.list(State::Failed, 0, 20, ListOrder::NewestFirst).await? {
//!     println!("{}: {}", job.id, job.failed_reason.unwrap_or_default());
//! }
//! queue.retry_failed(Some("connection refused"), Attempts::Reset).await?; // with their priorities
//! queue.clean(State::Completed, Duration::from_secs(3600), 10_000).await?;
//! queue.pause().await?; // all workers of the queue, Node's too
//! # Ok(())
//! # }
//! ```
//!
//! # Events
//! ```no_run
//! use examhall_queue::{Event, Position, Queue};
//! # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
//! let mut events = queue.events(Position::Now).await?; // a futures `Stream`, too
//! loop {
//!     let (position, event) = events.next().await; // store the position to continue after it later
//!     if let Event::Failed { id, reason } = event {
//!         println!("{position}: {id} failed: {reason}");
//!     }
//! }
//! # }
//! ```
//!
//! # Errors and connections
//! [`Error::is_transient`] says whether the same call may succeed later. A [`Connection`] is opened from a URL, or made of
//! a client or configuration of the caller's own ([`Connection::from_client`], [`Connection::from_config`], with the [`fred`]
//! that is re-exported here); workers, events and waiters [duplicate](Connection::duplicate) it for their blocking reads.
//! Opening a connection, building a worker and reading events spawn tasks: they panic outside a Tokio runtime.
//!
//! # Differences from BullMQ
//! - Jobs that stalled or that are retried by hand keep their priority; BullMQ puts them ahead of all others.
//! - Jobs of a dead worker of this crate are reaped after about 5 s without a heartbeat, if its connection is closed, and not
//!   after lock and stalled interval. A frozen worker keeps its jobs until their locks expire. One that is cut off from Redis
//!   counts its claims as lost after 3.5 s, before others can take its jobs ([`Claim::is_lost`]).
//! - Broken jobs (no JSON, more than 8 MB) fail with a reason, and dashboards can show them.
//! - Adding many jobs is atomic per script. Callers that add at the same time share scripts.
//! - A flow is added whole or not at all, also if one of its jobs is a child of another parent.

#![cfg_attr(docsrs, feature(doc_cfg))]

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

mod claim;
mod client;
mod clock;
mod code;
mod error;
mod events;
mod flows;
mod hooks;
mod job;
mod job_id;
mod json;
mod keys;
mod lenient;
mod notes;
mod options;
mod outcome;
mod queue;
mod retry;
mod router;
mod schedulers;
mod script;
#[cfg(test)]
mod sequences;
mod state;
mod worker;

pub use claim::Claim;
pub use error::{Error, PayloadError};
pub use events::{Event, Events, Position};
pub use examhall_redis::{Connection, ConnectionOptions, Error as RedisError, fred};
pub use flows::{AddedFlow, ChildFailure, Dependencies, DependencyCounts, FlowJob, FlowNode, FlowProducer, JobKey};
pub use hooks::WorkerEvent;
pub use job::Job;
pub use job_id::JobId;
pub use json::Json;
pub use options::{Deduplication, JobOptions, Retention};
pub use outcome::{Failure, IntoOutcome, Outcome};
pub use queue::{
    Among, Attempts, BadSearchPosition, ConnectedWorker, Counts, EndedCounts, FoundJobs, INSPECTIONS, Inspection,
    JobRecord, JobSearch, JobSummary, ListOrder, Metrics, NewJob, OldestWaiting, Queue, QueueBuilder, QueueMeta,
    RateLimit, RetryJobs, SearchPosition, SearchTerm, ServerCheck, ServerWarning, Suitability,
};
pub use retry::{AfterFailure, Backoff, BackoffKind, RetryPolicy};
pub use router::Router;
pub use schedulers::{JobScheduler, Repeat, RepeatRule};
pub use state::{EndedState, State, UnknownState};
pub use worker::{
    Backoffs, Drained, FailedRun, Handler, ManualWorker, Tally, Worker, WorkerBuilder, WorkerControl, WorkerOptions,
};
