//! What can go wrong, sorted by who must act.

use examhall_redis::Error as RedisError;

/// Why a call on the queue did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The queue's name or prefix cannot be used. For the operator.
    #[error("{name:?} cannot name a queue: {reason}")]
    BadQueueName {
        /// As it was given.
        name: String,
        /// Why not.
        reason: &'static str,
    },
    /// The server is part of a cluster, and the queue's keys would lie on several servers. For the operator.
    #[error(
        "this Redis is a cluster, which needs all keys of a queue on one server: put braces around the prefix or the \
         name, such as the prefix {{{prefix}}} instead of {prefix}, for all producers and workers of the queue"
    )]
    NeedsHashTag {
        /// As it was given.
        prefix: String,
    },
    /// The job's id cannot be used; nothing was written. For the caller.
    #[error("{id:?} cannot be a job's id: {reason}")]
    BadJobId {
        /// As it was given.
        id: String,
        /// Why not.
        reason: &'static str,
    },
    /// The job's deduplication id cannot be used; nothing was written. For the caller.
    #[error("a deduplication id must not be empty")]
    BadDeduplicationId,
    /// The job's priority cannot be used; nothing was written. For the caller.
    #[error("priority {0} is above {max}", max = crate::JobOptions::MAX_PRIORITY)]
    BadPriority(u32),
    /// The job's data cannot be written as JSON; nothing was written. For the caller.
    #[error("the job's data cannot be written as JSON: {0}")]
    Payload(#[from] serde_json::Error),
    /// The first of many jobs were added, and then a script failed. For the caller, who may go on after them.
    #[error("{} jobs were added, and then: {source}", added.len())]
    PartlyAdded {
        /// The ids of those that were added, the first ones of what was given.
        added: Vec<String>,
        /// Why the others were not.
        source: Box<Error>,
    },
    /// There is no such job. For the caller.
    #[error("there is no job {0:?}")]
    NotFound(String),
    /// The job is not in a state in which this can be done to it; nothing was changed. For the caller.
    #[error("job {id:?} is {state}, and only a job that is {wanted} can be {done}")]
    WrongState {
        /// The job.
        id: String,
        /// Its state.
        state: crate::State,
        /// The state it would have to be in.
        wanted: &'static str,
        /// What was to be done.
        done: &'static str,
    },
    /// The job has not ended within the time that was given. For the caller.
    #[error("job {0:?} has not ended yet")]
    NotEnded(String),
    /// The job is part of a scheduler or a flow; nothing was changed. For the caller.
    #[error("job {0:?} belongs to a scheduler or a flow, which only BullMQ itself can change")]
    Foreign(String),
    /// The queue must be paused before it can be obliterated, and no job may be active. For the caller.
    #[error("{0}")]
    NotIdle(&'static str),
    /// Redis is away, too slow, or refuses. What was asked may or may not have happened. For nobody, while it passes.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// Redis answered with something that no script of ours returns. For the developers.
    #[error("unexpected answer from Redis: {0}")]
    UnexpectedAnswer(&'static str),
}

impl Error {
    /// The same error for another of those who waited for one answer.
    pub(crate) fn to_shared(&self) -> Self {
        match self {
            Self::Redis(error) => Self::Redis(error.clone()),
            _ => Self::UnexpectedAnswer("to a script that several callers shared"),
        }
    }
}
