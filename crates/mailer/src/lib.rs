//! Examhall's mail worker.
//!
//! ```text
//!   queue ──> handler ──> message    the job as MIME: the same bytes whenever it is sent
//!                │
//!                └──────> smtp       the dialogue, with a time limit per phase ──> verdict
//! ```
//! It needs Redis and an SMTP server and no database, so it scales by itself. It carries mails; what they say is the
//! producer's business.

mod app;
mod breaker;
pub mod cli;
mod end;
mod handler;
mod message;
mod payload;
mod smtp;
mod suppressions;
mod verdict;

pub use app::{Drain, Mailer};
