//! What a handler returns for a job that it has run.

use std::time::Duration;

use serde_json::Value;

/// How a run ended. Only failures are errors: a job can be snoozed without losing an attempt.
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::{Failure, Outcome};
/// fn of_answer(status: u16) -> Outcome {
///     match status {
///         200 => Outcome::Completed("sent".into()),
///         404 => Outcome::Unrecoverable(Failure::new("there is no such guest")),
///         423 => Outcome::Snoozed(Duration::from_secs(300)), // this job in five minutes, others meanwhile
///         429 => Outcome::RateLimited(Duration::from_secs(10)), // no job for ten seconds
///         503 => Outcome::Released, // any worker may take it at once
///         other => Outcome::Failed(Failure::new(format!("status {other}"))), // retried as its options say
///     }
/// }
/// # assert_eq!(of_answer(503), Outcome::Released);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Outcome {
    /// Done; the value is stored as the job's `returnvalue`.
    Completed(Value),
    /// Failed: costs an attempt, and is retried as the job's options say.
    Failed(Failure),
    /// Failed, and no further attempt can succeed.
    Unrecoverable(Failure),
    /// No job of the queue is taken for this time; the job is ready again and has lost no attempt. BullMQ's workers
    /// comply if the queue has a rate limit or they have one themselves.
    RateLimited(Duration),
    /// The job is delayed for this time and loses no attempt.
    Snoozed(Duration),
    /// The run was not finished: the job is ready for any worker and loses no attempt.
    Released,
}

/// Why a run failed.
/// ```
/// # use examhall_queue::Failure;
/// let failure = Failure::new("550 no such user").name("SmtpError").stack("    at deliver (smtp.rs:17)");
/// assert_eq!(failure.trace(), "SmtpError: 550 no such user\n    at deliver (smtp.rs:17)");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Failure {
    /// Stored unchanged as the job's `failedReason`.
    pub reason: String,
    /// Name of the error, with which its stack trace begins; `Error` if absent, as in Node.
    pub name: Option<String>,
    /// Lines of its stack trace.
    pub stack: Option<String>,
}

impl Failure {
    /// A failure with this reason.
    pub fn new(reason: impl Into<String>) -> Self {
        Self { reason: reason.into(), name: None, stack: None }
    }

    /// Sets the name of the error.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets the lines of its stack trace, of any form.
    #[must_use]
    pub fn stack(mut self, lines: impl Into<String>) -> Self {
        self.stack = Some(lines.into());
        self
    }

    /// Returns its entry in the job's `stacktrace`: name, reason and stack, as Node writes them.
    pub fn trace(&self) -> String {
        let name = self.name.as_deref().unwrap_or("Error");
        match &self.stack {
            Some(stack) => format!("{name}: {}\n{stack}", self.reason),
            None => format!("{name}: {}", self.reason),
        }
    }
}
