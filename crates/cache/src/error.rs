//! What can go wrong. A read never fails because Redis does.

use std::{sync::Arc, time::Duration};

/// Why a call on the cache did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system gave no thread. For the operator.
    #[error("no thread for the cache: {0}")]
    Thread(#[from] std::io::Error),
    /// Redis is away, too slow, or refuses: what was to be invalidated may still be there. It is tried again in the
    /// background, and this process does not read it meanwhile.
    #[error("Redis: {0}")]
    Redis(#[from] examhall_redis::Error),
    /// Redis did not answer soon enough, and may still do what it was asked. For nobody, while it passes.
    #[error("Redis did not answer in time")]
    Slow,
    /// Redis is not asked for the moment: it failed too often. For nobody, while it passes.
    #[error("Redis is not asked for the moment")]
    Bypassed,
    /// It cannot be written as JSON. For the developers.
    #[error("not to be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
}

/// Why a read gave no value. Shared by all who waited for the same load.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// The loader's own error; see [`ReadError::of_loader`].
    #[error("{0}")]
    Load(Arc<dyn std::error::Error + Send + Sync>),
    /// The loader took longer than its hard limit.
    #[error("loading took longer than {} s", .0.as_secs())]
    TooSlow(Duration),
    /// More readers wait than the process lets wait, or for longer: while Redis is away, only a few loads run at once.
    #[error("too many readers wait; come back in {} s", .retry_after.as_secs())]
    Crowded {
        /// When to come back; not the same for everybody.
        retry_after: Duration,
    },
}

impl ReadError {
    pub(crate) fn crowded() -> Self {
        Self::Crowded { retry_after: Duration::from_millis(fastrand::u64(1000..=3000)) }
    }

    /// The loader's own error, where it was one of this type.
    pub fn of_loader<E: std::error::Error + 'static>(&self) -> Option<&E> {
        match self {
            Self::Load(error) => error.downcast_ref(),
            Self::TooSlow(_) | Self::Crowded { .. } => None,
        }
    }
}

/// A load that panicked: its message is in the log already.
#[derive(Debug, thiserror::Error)]
#[error("the load panicked")]
pub(crate) struct Panicked;
