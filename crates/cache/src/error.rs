//! What can go wrong. A read never fails because Redis does, so this is about settings and invalidations.

/// Why a call on the cache did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be understood. For the operator.
    #[error("not a Redis URL: {0}")]
    BadUrl(String),
    /// Redis is away or too slow: what was to be invalidated may still be served. For the caller, who tries again.
    #[error("Redis: {0}")]
    Redis(#[from] fred::error::Error),
}
