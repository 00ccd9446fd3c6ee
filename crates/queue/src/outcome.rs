//! What a handler says of a job it has run.

use std::time::Duration;

use serde_json::Value;

/// How a run ended. What is no failure is no error: a job can be put off without losing an attempt.
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::{Failure, Outcome};
/// fn of_answer(status: u16) -> Outcome {
///     match status {
///         200 => Outcome::Completed("sent".into()),
///         404 => Outcome::Unrecoverable(Failure::new("there is no such guest")),
///         423 => Outcome::Parked(Duration::from_secs(300)), // this one in five minutes, and others meanwhile
///         429 => Outcome::RateLimited(Duration::from_secs(10)), // none for ten seconds
///         503 => Outcome::Returned, // any worker may take it at once
///         other => Outcome::Failed(Failure::new(format!("status {other}"))), // again, as its options say
///     }
/// }
/// # assert_eq!(of_answer(503), Outcome::Returned);
/// ```
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
