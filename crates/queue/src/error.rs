//! What can go wrong, sorted by who must act.

/// Why a call on the queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The URL cannot be understood. For the operator.
    #[error("not a Redis URL: {0}")]
    BadUrl(String),
    /// The queue's name or prefix cannot be used. For the operator.
    #[error("{name:?} cannot name a queue: {reason}")]
    BadQueueName {
        /// As it was given.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The job's id cannot be used; nothing was written. For the caller.
    #[error("{id:?} cannot be a job's id: {reason}")]
    BadJobId {
        /// As it was given.
        id: String,
        /// Why not.
        reason: &'static str,
    },
    /// The job's priority cannot be used; nothing was written. For the caller.
    #[error("priority {0} is above {max}", max = crate::JobOptions::MAX_PRIORITY)]
    BadPriority(u32),
    /// The job's data cannot be written as JSON; nothing was written. For the caller.
    #[error("the job's data cannot be written as JSON: {0}")]
    Payload(#[from] serde_json::Error),
    /// Redis is away, too slow, or refuses. What was asked may or may not have happened. For nobody, while it passes.
    #[error("Redis: {0}")]
    Redis(#[from] fred::error::Error),
    /// Redis answered with something that no script of ours returns. For the developers.
    #[error("unexpected answer from Redis: {0}")]
    UnexpectedAnswer(&'static str),
}
