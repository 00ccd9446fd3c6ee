//! Errors, with who can do something about them.

use examhall_redis::Error as RedisError;

/// Why a value cannot be written as JSON; its [source](std::error::Error::source) is the serializer's error.
/// ```
/// # use examhall_queue::{Error, Json};
/// # use std::collections::HashMap;
/// let keys_are_no_text = HashMap::from([((1, 2), 3)]);
/// assert!(matches!(Json::new(&keys_are_no_text), Err(Error::Payload(_))));
/// ```
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct PayloadError(#[source] Box<dyn std::error::Error + Send + Sync>);

/// Error of a call on a queue.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// match queue.retry("guest-7", examhall_queue::Attempts::Reset).await {
///     Err(Error::NotFound(id)) => println!("there is no job {id}"),
///     Err(error) if error.is_transient() => println!("try again later: {error}"),
///     result => result?,
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The queue's name or prefix cannot be used. For the operator.
    #[error("{name:?} cannot name a queue: {reason}")]
    BadQueueName {
        /// The name or prefix.
        name: String,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// The server is part of a cluster, and the queue's keys would be spread over several servers. For the operator.
    #[error(
        "this Redis is a cluster, which needs all keys of a queue on one server: put braces around the prefix or the \
         name, such as the prefix {{{prefix}}} instead of {prefix}, for all producers and workers of the queue"
    )]
    NeedsHashTag {
        /// The prefix.
        prefix: String,
    },
    /// The job's id cannot be used; nothing was written. For the caller.
    #[error("{id:?} cannot be a job's id: {reason}")]
    BadJobId {
        /// The id.
        id: String,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// The job's deduplication id cannot be used; nothing was written. For the caller.
    #[error("a deduplication id must not be empty")]
    BadDeduplicationId,
    /// The job's priority cannot be used; nothing was written. For the caller.
    #[error("priority {0} is above {max}", max = crate::JobOptions::MAX_PRIORITY)]
    BadPriority(u32),
    /// An option of a job, a worker or a queue cannot be used; nothing was written. For the caller.
    #[error("the option {option} cannot be used: {reason}")]
    BadOption {
        /// Name of the option.
        option: &'static str,
        /// Why it cannot be used.
        reason: &'static str,
    },
    /// The job's data is longer than its options allow; nothing was written. For the caller.
    #[error("the job's data has {bytes} bytes, and its options allow {limit}")]
    TooLong {
        /// Its bytes as JSON.
        bytes: u64,
        /// [`JobOptions::size_limit`](crate::JobOptions::size_limit).
        limit: u64,
    },
    /// The job's timestamp cannot be used; nothing was written. For the caller.
    #[error("the timestamp {0}, with the delay, is not between 1970 and 2039")]
    BadTimestamp(i64),
    /// The job's data cannot be written as JSON; nothing was written. For the caller.
    #[error("the job's data cannot be written as JSON: {0}")]
    Payload(#[source] PayloadError),
    /// The first of many jobs were added, and then a script failed. For the caller, which can add the others again.
    #[error("{} jobs were added, and then: {source}", added.len())]
    PartlyAdded {
        /// Ids of the jobs that were added, which are the first ones.
        added: Vec<String>,
        /// Why the others were not added.
        source: Box<Error>,
    },
    /// There is no such job. For the caller.
    #[error("there is no job {0:?}")]
    NotFound(String),
    /// The job's state does not allow the call; nothing was changed. For the caller.
    #[error("job {id:?} is {state}, and only a job that is {wanted} can be {done}")]
    WrongState {
        /// The job's id.
        id: String,
        /// Its state.
        state: crate::State,
        /// The states that allow the call.
        wanted: &'static str,
        /// What the call does to a job.
        done: &'static str,
    },
    /// The token cannot lock a job: it is empty; or `0`, with which BullMQ checks no lock; or begins with `eh:`, as those of
    /// this crate's workers do. For the caller.
    #[error("a token must not be empty, 0, or begin with eh:")]
    BadToken,
    /// Nobody has the job's lock: it expired, or the job was not taken (BullMQ's code -2). For the caller, whose job may
    /// run again.
    #[error("nobody has the lock of job {0:?}")]
    LockMissing(String),
    /// The job's lock has another token: another worker has the job (BullMQ's code -6). For the caller.
    #[error("the lock of job {0:?} has another token")]
    LockMismatch(String),
    /// The job is locked but in another state than active (BullMQ's code -3). For the caller.
    #[error("job {0:?} is not active")]
    NotActive(String),
    /// The job has children that have not ended, so it does not complete (BullMQ's code -4). For the caller.
    #[error("job {0:?} has pending children")]
    PendingChildren(String),
    /// A child has failed that fails the job too, so it neither completes nor waits (BullMQ's code -9). For the caller.
    #[error("at least one child of job {0:?} has failed")]
    FailedChildren(String),
    /// A child of the job is active; nothing was removed. For the caller.
    #[error("job {0:?} has an active child")]
    ActiveChild(String),
    /// There is no parent with this key; nothing was written (BullMQ's code -5). For the caller.
    #[error("there is no parent {0:?}")]
    ParentMissing(String),
    /// The job is a child of another parent that exists; nothing was written (BullMQ's code -7). For the caller.
    #[error("job {0:?} is a child of another parent")]
    OtherParent(String),
    /// A flow cannot be added; nothing was written. For the caller.
    #[error("the flow cannot be added: {0}")]
    BadFlow(String),
    /// The job has not ended within the timeout. For the caller.
    #[error("job {0:?} has not ended yet")]
    NotEnded(String),
    /// A schedule cannot be used; nothing was written. For the caller.
    #[error("the schedule cannot be used: {0}")]
    BadSchedule(String),
    /// The next jobs of a scheduler are stored already, so none is added; nothing was written (BullMQ's codes -10 and
    /// -11). For the caller.
    #[error("the next jobs of the scheduler {0:?} are stored already")]
    ScheduleTaken(String),
    /// The job is the one to come of a scheduler, which would end without it; nothing was changed. For the caller.
    #[error("job {0:?} is the next of a scheduler: remove the scheduler")]
    Foreign(String),
    /// The queue is not paused or has active jobs, and so is not obliterated. For the caller.
    #[error("{0}")]
    NotIdle(&'static str),
    /// A key of the queue has another type than BullMQ's; nothing was written. For the operator.
    #[error("a key of the queue cannot be used: {0}")]
    BadKey(String),
    /// Redis is unreachable, too slow, or refuses. The call may have taken effect or not. Mostly passes by itself.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// Redis returned what none of our scripts returns. For the developers.
    #[error("unexpected answer from Redis: {0}")]
    UnexpectedAnswer(&'static str),
}

impl Error {
    /// Returns whether the same call may succeed later without anybody's doing: Redis is unreachable, slow, or starting, or
    /// the job has not ended yet.
    /// ```
    /// # use examhall_queue::Error;
    /// fn status(error: &Error) -> u16 {
    ///     if error.is_transient() { 503 } else { 500 }
    /// }
    /// # assert_eq!(status(&Error::NotFound("7".into())), 500);
    /// ```
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Redis(error) => error.is_transient(),
            Self::PartlyAdded { source, .. } => source.is_transient(),
            Self::NotEnded(_) => true,
            _ => false,
        }
    }

    pub(crate) fn payload(error: serde_json::Error) -> Self {
        Self::Payload(PayloadError(error.into()))
    }

    /// A copy for another caller of the same script.
    pub(crate) fn to_shared(&self) -> Self {
        match self {
            Self::Redis(error) => Self::Redis(error.clone()),
            Self::BadKey(key) => Self::BadKey(key.clone()),
            _ => Self::UnexpectedAnswer("to a script that several callers shared"),
        }
    }
}
