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
pub mod cli;
mod handler;
mod message;
mod smtp;

pub use app::{Drain, Mailer};
