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
//! exactly one of these states. It must never know mail, SQL or HTTP.

mod blocklist;
mod claim;
mod clock;
mod connection;
mod error;
mod job;
mod keys;
mod leases;
mod ledger;
mod limiter;
mod options;
mod outcome;
mod queue;
mod script;
mod state;
mod wipe;
mod worker;

pub use blocklist::{Blocked, Blocklist};
pub use claim::Claim;
pub use connection::Connection;
pub use error::Error;
pub use job::Job;
pub use leases::Leases;
pub use ledger::{Effect, Entry, Ledger};
pub use limiter::{Limiter, Permit, Rate};
pub use options::{Deduplication, JobOptions, Retention};
pub use outcome::{Failure, Outcome};
pub use queue::{Attempts, Concern, ConnectedWorker, Counts, Ended, JobRecord, NewJob, Oldest, Order, Queue};
pub use state::{State, UnknownState};
pub use worker::{Drained, Handler, Worker, WorkerControl, WorkerOptions};
