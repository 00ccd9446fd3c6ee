//! Examhall's HTTP API.
//!
//! ```text
//!   routes ── auth      who is it: passwords, access tokens, tokens in mails
//!     │       mail      what a mail says; sealed, it waits in the outbox
//!     │       templates in the reader's language, with the brand
//!   console ── access   pages for operators; who may do what, as for the routes; audit records it
//!     ├─────> store     changes, and the mails they cause, in one transaction
//!     └─────> cache     reads; loaders get from store what it lacks
//!   relay ──> store.outbox ──> queue
//!   reconciler ──> what became of queued mails; those that Redis lost wait again
//!   submission ──> submits what was left open at its deadline
//!   operations  what operators see and do
//!   upkeep ─> store.invalidations ──> cache;  exams that open soon ──> cache
//! ```
//! It composes mails and never sends one.

mod access;
mod app;
mod assets;
mod audit;
mod auth;
mod background;
mod cache_keys;
mod check;
pub mod cli;
mod connect;
mod console;
mod console_link;
mod credentials;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hooks;
mod http;
mod limits;
mod listen;
mod loaders;
mod log_in;
mod mail;
mod openapi;
mod operations;
mod papers;
mod reconciler;
mod regrading;
mod relay;
mod routes;
mod seats;
mod seed;
mod site;
mod sitters;
mod state;
mod statistics;
mod submission;
mod templates;
mod upkeep;
mod waiting;

pub use app::Application;
