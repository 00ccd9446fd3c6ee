//! From what a handler says to what is written in Redis: a pure decision.

use examhall_core::AfterFailure;
use serde_json::Value;

use crate::{Failure, JobOptions, Outcome, Retention, job::TakenJob};

/// Traces kept for a job whose options name no number.
const TRACES: usize = 10;

/// What the decision needs to know of a job.
pub(super) struct Held {
    pub(super) id: String,
    pub(super) token: String,
    options: JobOptions,
    attempts_made: u32,
    stacktrace: Vec<String>,
}

/// What became of a job, as `exchange.lua` takes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Report {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) ending: Ending,
    outcome: &'static str,
    args: [String; 4],
}

/// How a run ended, as seen from the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ending {
    Completed,
    Failed,
    /// To be run again after so many milliseconds.
    Again(u64),
    Returned,
}

impl Held {
    pub(super) fn new(job: &TakenJob) -> Self {
        Self {
            id: job.id.clone(),
            token: job.token.clone(),
            options: job.options(),
            attempts_made: job.attempts_made(),
            stacktrace: job.stacktrace(),
        }
    }

    /// Decides; `now` is in ms since 1970, `dice` in [0, 1).
    pub(super) fn conclude(self, outcome: Outcome, now: i64, dice: f64) -> Report {
        match outcome {
            Outcome::Completed(value) => self.completed(&value),
            Outcome::Failed(failure) => match self.options.retry.after_failure(self.attempts_made + 1, dice) {
                AfterFailure::GiveUp => self.failed(&failure),
                AfterFailure::RetryAfter(delay) => {
                    let delay = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
                    let traces = self.traces(&failure);
                    self.report(
                        "retried",
                        Ending::Again(delay),
                        [failure.reason, traces, delay.to_string(), String::new()],
                    )
                }
            },
            Outcome::Unrecoverable(failure) => self.failed(&failure),
            Outcome::Parked(span) => {
                let span = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                let due = now.saturating_add_unsigned(span);
                self.report(
                    "parked",
                    Ending::Again(span),
                    [due.to_string(), String::new(), String::new(), String::new()],
                )
            }
            Outcome::Returned => self.report("returned", Ending::Returned, Default::default()),
        }
    }

    fn completed(self, value: &Value) -> Report {
        let (count, age) = self.options.remove_on_complete.unwrap_or(Retention::KeepAll).count_and_age();
        self.report(
            "completed",
            Ending::Completed,
            [value.to_string(), count.to_string(), age.to_string(), String::new()],
        )
    }

    fn failed(self, failure: &Failure) -> Report {
        let (count, age) = self.options.remove_on_fail.unwrap_or(Retention::KeepAll).count_and_age();
        let attempts = self.options.retry.attempts.to_string();
        let traces = self.traces(failure);
        self.report("failed", Ending::Failed, [failure.reason.clone(), traces, attempts, format!("{count} {age}")])
    }

    /// The job's traces with this failure, as a JSON array, oldest first.
    fn traces(&self, failure: &Failure) -> String {
        let limit = self.options.stack_trace_limit.map_or(TRACES, |limit| usize::try_from(limit).unwrap_or(TRACES));
        let mut traces = self.stacktrace.clone();
        traces.push(format!("Error: {}", failure.reason));
        let surplus = traces.len().saturating_sub(limit);
        Value::from(traces.split_off(surplus)).to_string()
    }

    fn report(self, outcome: &'static str, ending: Ending, args: [String; 4]) -> Report {
        Report { id: self.id, token: self.token, ending, outcome, args }
    }
}

impl Report {
    /// The seven arguments of one report.
    pub(super) fn to_args(&self) -> [&str; 7] {
        let [a, b, c, d] = &self.args;
        [&self.id, &self.token, self.outcome, a, b, c, d]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use examhall_core::{Backoff, RetryPolicy};
    use std::time::Duration;

    fn held(attempts: u32, attempts_made: u32) -> Held {
        let retry = RetryPolicy { attempts, backoff: Backoff::exponential(Duration::from_secs(2)) };
        let options = JobOptions { retry, remove_on_fail: Some(Retention::Newest(5)), ..JobOptions::default() };
        Held { id: "7".into(), token: "t:1".into(), options, attempts_made, stacktrace: vec!["Error: before".into()] }
    }

    fn failed(reason: &str) -> Outcome {
        Outcome::Failed(Failure::new(reason))
    }

    #[test]
    fn a_failure_with_attempts_left_is_retried_after_its_backoff() {
        let report = held(3, 1).conclude(failed("boom"), 0, 0.0);
        assert_eq!(report.ending, Ending::Again(4000));
        assert_eq!(report.to_args(), ["7", "t:1", "retried", "boom", r#"["Error: before","Error: boom"]"#, "4000", ""]);
    }

    #[test]
    fn the_last_failure_ends_the_job() {
        let report = held(3, 2).conclude(failed("boom"), 0, 0.0);
        assert_eq!(report.ending, Ending::Failed);
        assert_eq!(report.to_args()[2..], ["failed", "boom", r#"["Error: before","Error: boom"]"#, "3", "5 -1"]);
    }

    #[test]
    fn an_unrecoverable_failure_ends_the_job_whatever_is_left() {
        let report = held(9, 0).conclude(Outcome::Unrecoverable(Failure::new("no such address")), 0, 0.0);
        assert_eq!(report.ending, Ending::Failed);
    }

    #[test]
    fn only_the_newest_traces_are_kept() {
        let mut job = held(3, 0);
        job.options.stack_trace_limit = Some(1);
        assert_eq!(job.conclude(failed("boom"), 0, 0.0).to_args()[4], r#"["Error: boom"]"#);
        let mut none = held(3, 0);
        none.options.stack_trace_limit = Some(0);
        assert_eq!(none.conclude(failed("boom"), 0, 0.0).to_args()[4], "[]");
    }

    #[test]
    fn a_parked_job_is_due_after_its_span() {
        let report = held(3, 0).conclude(Outcome::Parked(Duration::from_mins(5)), 1_000, 0.0);
        assert_eq!((report.to_args()[2], report.to_args()[3]), ("parked", "301000"));
    }

    #[test]
    fn a_completed_job_keeps_its_value_as_json() {
        let report = held(3, 0).conclude(Outcome::Completed(Value::Null), 0, 0.0);
        assert_eq!(report.to_args()[2..], ["completed", "null", "-1", "-1", ""]);
    }
}
