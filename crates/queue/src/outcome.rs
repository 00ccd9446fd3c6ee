//! What a handler says of a job it has run.

use std::time::Duration;

use serde_json::Value;

/// How a run ended. What is no failure is no error: a job can be put off without losing an attempt.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Done; the value is kept as the job's `returnvalue`.
    Completed(Value),
    /// Failed: spends an attempt, and is run again as the job's options say.
    Failed(Failure),
    /// Failed in a way that no further run can mend.
    Unrecoverable(Failure),
    /// Nothing of the queue is to be run before this time has passed; the job is ready again and has spent no attempt.
    /// BullMQ's workers obey it where the queue has a rate limit or they have one themselves.
    RateLimited(Duration),
    /// Not to be run before this time has passed; spends no attempt.
    Parked(Duration),
    /// Not run to its end, and ready for any worker; spends no attempt.
    Returned,
}

/// Why a run failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Kept as the job's `failedReason`, as it is.
    pub reason: String,
}

impl Failure {
    /// A failure for this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into() }
    }
}
