//! Errors of the cache. An outage of Redis never makes a read fail.

use std::{sync::Arc, time::Duration};

use crate::{KeyError, OptionError, SpaceError};

/// Error of a call on the cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// A key cannot be kept coherent. For the developers.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The key spaces cannot be used. For the developers.
    #[error(transparent)]
    Spaces(#[from] SpaceError),
    /// An option of the builder is out of its range. For the developers.
    #[error(transparent)]
    Option(#[from] OptionError),
}

/// Error of a read, shared by all who waited for the same load.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// The loader's own error; see [`ReadError::of_loader`].
    #[error("{0}")]
    Load(Arc<dyn std::error::Error + Send + Sync>),
    /// The loader exceeded its time limit.
    #[error("loading took longer than {0:?}")]
    TooSlow(Duration),
    /// The loader panicked; the log has its message.
    #[error("the load panicked")]
    Panicked,
    /// The key cannot be kept coherent. For the developers.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The cached value is of another key type with the same name. For the developers.
    #[error("the key `{0}` has a value of another key type")]
    OtherType(Arc<str>),
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
    pub(crate) fn loader(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Load(error.into().into())
    }

    pub(crate) fn crowded() -> Self {
        Self::Crowded { retry_after: Duration::from_millis(fastrand::u64(1000..=3000)) }
    }

    /// Returns the loader's own error, or the first of its sources, that is of this type. An `anyhow::Error` keeps its
    /// type only if it was made with context, or passed through `reallocate_into_boxed_dyn_error_without_backtrace`.
    pub fn of_loader<E: std::error::Error + 'static>(&self) -> Option<&E> {
        let Self::Load(error) = self else { return None };
        let error: &(dyn std::error::Error + 'static) = &**error;
        std::iter::successors(Some(error), |error| error.source()).find_map(|error| error.downcast_ref())
    }
}
