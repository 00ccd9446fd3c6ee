//! Examhall's mail worker.
//!
//! ```text
//!   queue ──> handler ──> message, dkim    the job as MIME: the same bytes whenever it is sent
//!                │  └───> ledger           what is known of it: may have been sent, was, was not
//!                └──────> smtp             the dialogue ──> verdict: what follows from what went wrong
//!                           └── breaker    when a provider is left alone
//! ```
//! It needs Redis and an SMTP server and no database, so it scales by itself. It carries mails; what they say is the
//! producer's business.

mod app;
mod attempt;
mod bodies;
mod breaker;
mod checks;
pub mod cli;
mod dkim;
mod drain;
mod end;
mod expiry;
#[cfg(fuzzing)]
pub mod fuzzing;
mod gauges;
mod handler;
mod message;
mod outcomes;
mod payload;
mod removal;
mod smtp;
mod suppressions;
mod verdict;

pub use app::Mailer;
pub use checks::Tested;
pub use drain::{Drain, DrainOptions, Early, Left, Progress};
