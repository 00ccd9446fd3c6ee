//! Examhall's HTTP API.
//!
//! ```text
//!   routes ── auth      who is it: passwords, access tokens, tokens in mails
//!     │       mail      what a mail says; sealed, it waits in the outbox
//!     ├─────> store     changes, and the mails they cause, in one transaction
//!     └─────> cache     reads
//!   relay ──> store.outbox ──> queue
//!   upkeep ─> store.invalidations ──> cache;  exams that open soon ──> cache
//! ```
//! It composes mails and never sends one.

mod app;
mod auth;
pub mod cli;
mod http;
mod mail;
mod relay;
mod routes;
mod seed;
mod state;
mod upkeep;

pub use app::Application;
