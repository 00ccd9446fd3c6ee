//! What can go wrong.

/// Why something was not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Redis is away, too slow, or refuses. What was asked may or may not have happened. For nobody, while it passes.
    #[error("Redis: {0}")]
    Redis(#[from] examhall_redis::Error),
    /// An entry cannot be written as JSON. For the developers.
    #[error("an entry cannot be written as JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// A report names a mail whose acceptance is about to be recorded. For nobody: it is to be reported again.
    #[error("the mail is still being sent")]
    InFlight,
}
