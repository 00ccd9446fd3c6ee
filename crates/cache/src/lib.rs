//! A read-through cache over Redis: one load per key for the whole fleet, and nothing older than the last change.
//!
//! ```text
//!   get_or_load ── acquire ──> value there ────────────────────────────────> hit
//!                    │ lease is ours ──> load from the database ── fill ───> miss
//!                    │ somebody loads ─> wait, ask again
//!                    └ Redis is away ──> load from the database, store nothing
//!   delete ─────── invalidate: takes away value and lease
//! ```
//! A fill counts only while the lease it was taken with stands, and every invalidation takes the lease away. So a value
//! that was read before a change is never stored after it, whatever is slow, lost or restarted in between.
//!
//! It must never know SQL or HTTP: what to load is a closure, what to send are bytes.

mod cache;
mod connection;
mod entry;
mod error;

pub use cache::{Cache, Source};
pub use entry::{Cached, Fresh};
pub use error::Error;
