//! What a handler returns for a job that it has run.

use std::{error::Error, time::Duration};

use serde::Serialize;
use serde_json::Value;

/// How a run ended. Only failures are errors: a job can be snoozed without losing an attempt.
///
/// Every error converts into [`Failed`](Self::Failed), so `?` works in a handler, and with it the other outcomes:
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::{Failure, Job, Outcome};
/// async fn greet(job: Job<String>) -> Result<usize, Outcome> {
///     let guest: u64 = job.data.parse()?; // an error: the run has failed
///     if guest == 0 {
///         return Err(Outcome::Unrecoverable(Failure::new("there is no guest 0")));
///     }
///     if guest > 100 {
///         return Err(Outcome::Snoozed(Duration::from_secs(300)));
///     }
///     Ok(job.data.len()) // stored as `returnvalue`
/// }
/// ```
/// or as a function of its own:
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
    /// The job waits for its children, such as those that its handler has added, and then runs again; it loses no attempt.
    /// It runs again at once if it has none to wait for, and fails if one that fails it has failed.
    WaitingChildren,
    /// The run was not finished: the job is ready for any worker and loses no attempt.
    Released,
}

/// What a handler may return: an [`Outcome`], or a `Result` whose value can be written as JSON and whose error converts
/// into an outcome, as `anyhow::Error` and every error type do.
/// ```
/// # use examhall_queue::{IntoOutcome, Outcome};
/// let parsed = "7".parse::<u8>();
/// assert_eq!(parsed.into_outcome(), Outcome::Completed(7.into()));
/// ```
pub trait IntoOutcome {
    /// Converts it. A value that cannot be written as JSON is [`Outcome::Unrecoverable`]: another run would not help.
    fn into_outcome(self) -> Outcome;
}

impl IntoOutcome for Outcome {
    fn into_outcome(self) -> Outcome {
        self
    }
}

impl<V: Serialize, E: Into<Outcome>> IntoOutcome for Result<V, E> {
    fn into_outcome(self) -> Outcome {
        match self.map(serde_json::to_value) {
            Ok(Ok(value)) => Outcome::Completed(value),
            Ok(Err(error)) => {
                Outcome::Unrecoverable(Failure::new(format!("the result cannot be written as JSON: {error}")))
            }
            Err(outcome) => outcome.into(),
        }
    }
}

impl<E: Into<Box<dyn Error + Send + Sync>>> From<E> for Outcome {
    fn from(error: E) -> Self {
        Self::Failed(Failure::new(with_causes(&*error.into())))
    }
}

impl From<Failure> for Outcome {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

/// Returns the error's text and those of its causes that it does not contain, as in `connect: timed out`.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = error.source();
    }
    text
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

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("cannot greet")]
    struct Outer(#[source] Middle);

    #[derive(Debug, thiserror::Error)]
    #[error("no line: {0}")]
    struct Middle(#[source] std::num::ParseIntError);

    fn parse(text: &str) -> Result<u8, std::num::ParseIntError> {
        text.parse()
    }

    fn failed(reason: &str) -> Outcome {
        Outcome::Failed(Failure::new(reason))
    }

    #[test]
    fn results_are_outcomes() {
        let invalid = "invalid digit found in string";
        assert_eq!(parse("7").into_outcome(), Outcome::Completed(7.into()));
        assert_eq!(parse("x").into_outcome(), failed(invalid));
        assert_eq!(Ok::<_, Outcome>(()).into_outcome(), Outcome::Completed(Value::Null));
        assert_eq!(Err::<(), _>("text").into_outcome(), failed("text"));
        assert_eq!(Err::<(), _>(String::from("text")).into_outcome(), failed("text"));
        assert_eq!(Err::<(), _>(Failure::new("text")).into_outcome(), failed("text"));
        assert_eq!(Err::<(), _>(Outcome::Released).into_outcome(), Outcome::Released);
        let boxed = Err::<(), _>(Box::<dyn Error + Send + Sync>::from("boxed"));
        assert_eq!(boxed.into_outcome(), failed("boxed"));
        let unwritable = Ok::<_, Outcome>(HashMap::from([((1, 2), 3)])).into_outcome();
        assert!(matches!(unwritable, Outcome::Unrecoverable(_)), "{unwritable:?}");
    }

    #[test]
    fn causes_are_named_once() {
        let cause = parse("x").expect_err("no number");
        let expected = failed("cannot greet: no line: invalid digit found in string");
        assert_eq!(Outcome::from(Outer(Middle(cause.clone()))), expected);
        let with_context = anyhow::Error::new(Middle(cause)).context("cannot greet");
        assert_eq!(Err::<(), _>(with_context).into_outcome(), expected);
    }
}
