//! Redis for the crates above it: connections that reconnect forever, time limits, Lua scripts and invalidation messages.
//!
//! ```text
//!   queue       cache       delivery
//!     └───────────┼───────────┘
//!            Connection ── command, blocking, eval ──> one server, TLS, a socket, Sentinel, Cluster
//!                 │  │
//!                 │  └── Invalidations, LinkEvents: invalidation messages; losses and reconnects
//!                 └───── Error: one type; is_transient(), is_unanswered(), is_bad_url(), code()
//! ```
//!
//! While Redis is away every call fails at once: nothing is buffered to be written later. No command is written twice, so
//! a script whose answer was lost has run at most once.
//!
//! ```no_run
//! use examhall_redis::{Connection, Route, Script};
//! use std::time::Duration;
//!
//! static INCREMENT: Script = Script::new("return redis.call('INCRBY', KEYS[1], ARGV[1])", Duration::from_secs(2));
//!
//! # async fn run() -> Result<(), examhall_redis::Error> {
//! let connection = Connection::open("redis://127.0.0.1:6379")?;
//! connection.ready().await?;
//! let count: i64 = connection.eval(&INCREMENT, &["visits"], vec![2.into()]).await?;
//! let length: i64 = connection.command("STRLEN", Route::Key("visits"), vec!["visits".into()]).await?;
//! # Ok(())
//! # }
//! ```
//!
//! A program that has a [fred](https://docs.rs/fred) configuration or client of its own passes it to
//! [`Connection::from_config`] or [`Connection::from_client`].
//!
//! The crate knows no queue, no cache and no mail. fred's [`Value`] and [`FromValue`] are its only foreign types besides
//! those two constructors.

mod cluster;
mod command;
mod connection;
mod error;
mod events;
mod login;
mod options;
mod owner;
mod route;
mod script;
mod slots;

pub use cluster::{ClusterMaster, ClusterUrl, ClusterView};
pub use connection::Connection;
pub use error::Error;
pub use events::{Invalidated, Invalidations, LinkEvents};
pub use fred;
pub use fred::types::{FromValue, Value};
pub use options::ConnectionOptions;
pub use route::{NodeAddress, Route, slot};
pub use script::Script;
pub use slots::{SLOTS, SlotSet};

/// Reads a part of an answer as a type of Rust.
///
/// # Errors
/// Returns an error if it has another shape.
pub fn convert<R: FromValue>(value: Value) -> Result<R, Error> {
    R::from_value(value).map_err(Error::of)
}
