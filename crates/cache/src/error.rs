//! Errors of the cache. An outage of Redis never makes a read fail.

use std::{sync::Arc, time::Duration};

/// Error of a call on the cache.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No thread could be started. For the operator.
    #[error("cannot start a thread for the cache: {0}")]
    Thread(#[from] std::io::Error),
    /// Redis is down, too slow, or refuses: values to be invalidated may still be there. The invalidation is retried in
    /// the background, and this process does not read them meanwhile.
    #[error("Redis: {0}")]
    Redis(#[from] examhall_redis::Error),
    /// Redis did not answer in time, and may still run the command. Transient.
    #[error("Redis did not answer in time")]
    Slow,
    /// The circuit to Redis is open after too many failures. Transient.
    #[error("the circuit to Redis is open")]
    Bypassed,
    /// A value cannot be serialized as JSON. For the developers.
    #[error("cannot be serialized as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Error of a read, shared by all who waited for the same load.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The loader's own error; see [`ReadError::of_loader`].
    #[error("{0}")]
    Load(Arc<dyn std::error::Error + Send + Sync>),
    /// The loader exceeded its time limit.
    #[error("loading took longer than {0:?}")]
    TooSlow(Duration),
    /// Too many readers wait, or this one waited too long: while Redis is down, only a few loads run at once.
    #[error("too many readers wait; retry in {} s", .retry_after.as_secs())]
    Crowded {
        /// When to retry, with jitter.
        retry_after: Duration,
    },
    /// A loader asked for its own key, or for one whose loader waits for it. For the developers.
    #[error("the loader of {key} waits for itself")]
    Circular {
        /// The key in Redis.
        key: String,
    },
}

impl ReadError {
    pub(crate) fn loader(error: impl std::error::Error + Send + Sync + 'static) -> Self {
        Self::Load(Arc::new(error))
    }

    pub(crate) fn crowded() -> Self {
        Self::Crowded { retry_after: Duration::from_millis(fastrand::u64(1000..=3000)) }
    }

    /// Returns the loader's own error if it is of this type.
    pub fn of_loader<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Load(error) => error.downcast_ref(),
            Self::TooSlow(_) | Self::Crowded { .. } | Self::Circular { .. } => None,
        }
    }
}

/// The loader panicked; the log has its message.
#[derive(Debug, thiserror::Error)]
#[error("the load panicked")]
pub(crate) struct Panicked;
