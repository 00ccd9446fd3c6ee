//! How a cache is set up.

use crate::{Cache, Error};

/// Default limit of the process's own memory, in bytes.
const LOCAL_BYTES: u64 = 64 * 1024 * 1024;

/// Settings of a [`Cache`]; see [`Cache::builder`].
/// ```no_run
/// # fn run() -> Result<(), examhall_cache::Error> {
/// let cache = examhall_cache::Cache::builder(&["user:", "order:"]).prefix("shop:").open("redis://127.0.0.1:6379")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
#[must_use]
pub struct Builder {
    pub(crate) spaces: &'static [&'static str],
    pub(crate) prefix: String,
    pub(crate) local_bytes: Option<u64>,
}

impl Builder {
    pub(crate) fn new(spaces: &'static [&'static str]) -> Self {
        Self { spaces, prefix: String::new(), local_bytes: Some(LOCAL_BYTES) }
    }

    /// Begins all keys in Redis with `prefix`.
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.prefix = prefix.into();
        self
    }

    /// Limits the process's own memory, 64 MiB by default.
    pub fn local_bytes(mut self, bytes: u64) -> Self {
        self.local_bytes = Some(bytes);
        self
    }

    /// Keeps nothing in the process's own memory: every read asks Redis.
    pub fn redis_only(mut self) -> Self {
        self.local_bytes = None;
        self
    }

    /// Opens the cache with the Redis at `url`. Starts connecting and returns at once; must be called within a Tokio
    /// runtime, on which its loads will run.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if the URL cannot be used, [`Error::Thread`] if the system gives no thread.
    pub fn open(self, url: &str) -> Result<Cache, Error> {
        Cache::build(self, Some(url))
    }

    /// Opens the cache with the process's own memory alone: right if there is one process.
    pub fn local_only(self) -> Cache {
        let built = Cache::build(self, None);
        built.unwrap_or_else(|error| unreachable!("there is no URL that could be bad: {error}"))
    }
}
