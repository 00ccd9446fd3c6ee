//! Examhall's mail worker.
//!
//! ```text
//!   queue ──> handler ──> message, dkim            composes the mail: the same bytes at each attempt
//!                │  └───> attempt, ledger_writer   delivery ledger: intent, accepted, refused, deferred, held
//!                └──────> smtp                     delivers the mail
//!                           ├── retry_policy       decides what follows a failure
//!                           └── circuit_breaker    stops sending during an outage of a provider
//! ```
//! Needs Redis and an SMTP server and no database, so it scales independently. Producers decide what a mail says.

mod app;
mod attempt;
mod attempt_outcome;
mod author;
mod body_wiper;
mod bounces;
mod checks;
pub mod cli;
mod clock;
mod dkim;
mod drain;
mod expiry;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gauges;
mod handler;
mod heartbeat;
mod ledger_writer;
mod mail_names;
mod message;
mod payload;
mod recorder;
mod redis_outage;
mod removal;
mod resend;
mod return_path;
mod smtp;
mod suppressions;
mod upkeep;

pub use app::Mailer;
pub use checks::TestDelivery;
pub use drain::{DrainOptions, DrainSummary, EarlyStop, Progress, Remaining};
