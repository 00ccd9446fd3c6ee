//! A read-through cache over Redis: one load per key for the whole fleet, and nothing older than the last change.

mod breaker;
mod cache;
mod entry;
mod error;
mod flight;
mod invalidate;
mod link;
mod load;
mod local;
mod many;
mod redis;
mod warm;

pub use cache::{Cache, Source};
pub use entry::{Cached, Coding, Fresh};
pub use error::{Error, ReadError};
