//! From what a handler says to what is written in Redis: a pure decision.

use std::time::Duration;

use examhall_core::AfterFailure;
use serde_json::Value;

use crate::{Failure, JobOptions, Outcome, Retention, job::TakenJob};

/// Traces kept for a job whose options name no number.
const TRACES: usize = 10;

/// What the decision needs to know of a job.
pub(super) struct Held {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) options: JobOptions,
    attempts_made: u32,
    deduplication_id: String,
    stacktrace: Vec<String>,
}

/// How a run ended: as its handler says, or without one.
#[derive(Debug)]
pub(super) enum Run {
    Ended(Outcome),
    /// The entry is broken: `data` and `opts` are JSON to put in its place.
    Poisoned {
        reason: String,
        data: Option<String>,
        opts: String,
    },
}

/// What became of a job, as `exchange.lua` takes it.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Report {
    pub(super) id: String,
    pub(super) token: String,
    pub(super) ending: Ending,
    /// It was given to Redis before, and no answer came.
    pub(super) is_repeated: bool,
    outcome: &'static str,
    args: [String; 5],
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
    pub(super) fn new(job: &TakenJob, options: JobOptions) -> Self {
        Self {
            id: job.id.clone(),
            token: job.token.clone(),
            options,
            attempts_made: job.attempts_made(),
            deduplication_id: job.deduplication_id(),
            stacktrace: job.stacktrace(),
        }
    }

    /// Decides; `now` is in ms since 1970, `dice` in [0, 1).
    pub(super) fn conclude(self, run: Run, now: i64, dice: f64) -> Report {
        match run {
            Run::Poisoned { reason, data, opts } => {
                self.report("poisoned", Ending::Failed, [reason, data.unwrap_or_default(), opts])
            }
            Run::Ended(Outcome::Completed(value)) => {
                let keep = to_limit(self.options.remove_on_complete);
                self.report("completed", Ending::Completed, [value.to_string(), keep, String::new()])
            }
            Run::Ended(Outcome::Failed(failure)) => {
                match self.options.retry.after_failure(self.attempts_made + 1, dice) {
                    AfterFailure::GiveUp => self.failed(&failure),
                    AfterFailure::RetryAfter(delay) => self.retried(&failure, delay),
                }
            }
            Run::Ended(Outcome::Unrecoverable(failure)) => self.failed(&failure),
            Run::Ended(Outcome::Parked(span)) => {
                let span = to_millis(span);
                let due = now.saturating_add_unsigned(span).to_string();
                self.report("parked", Ending::Again(span), [due, String::new(), String::new()])
            }
            Run::Ended(Outcome::RateLimited(span)) => {
                let span = to_millis(span).max(1);
                self.report("limited", Ending::Again(span), [span.to_string(), String::new(), String::new()])
            }
            Run::Ended(Outcome::Returned) => self.report("returned", Ending::Returned, Default::default()),
        }
    }

    fn retried(self, failure: &Failure, delay: Duration) -> Report {
        let delay = to_millis(delay);
        let wire = if delay == 0 && self.options.lifo { "-1".to_owned() } else { delay.to_string() };
        let traces = self.traces(failure);
        self.report("retried", Ending::Again(delay), [failure.reason.clone(), traces, wire])
    }

    fn failed(self, failure: &Failure) -> Report {
        let rest = format!("{} {}", self.options.retry.attempts, to_limit(self.options.remove_on_fail));
        let traces = self.traces(failure);
        self.report("failed", Ending::Failed, [failure.reason.clone(), traces, rest])
    }

    /// The job's traces with this failure, as a JSON array, oldest first.
    fn traces(&self, failure: &Failure) -> String {
        let limit = self.options.stack_trace_limit.map_or(TRACES, |limit| usize::try_from(limit).unwrap_or(TRACES));
        let mut traces = self.stacktrace.clone();
        traces.push(format!("Error: {}", failure.reason));
        let surplus = traces.len().saturating_sub(limit);
        Value::from(traces.split_off(surplus)).to_string()
    }

    fn report(self, outcome: &'static str, ending: Ending, [a, b, c]: [String; 3]) -> Report {
        let made = (self.attempts_made + 1).to_string();
        let args = [made, self.deduplication_id, a, b, c];
        Report { id: self.id, token: self.token, ending, is_repeated: false, outcome, args }
    }
}

impl Report {
    /// The same once more, after no answer came.
    pub(super) fn repeated(self) -> Self {
        Self { is_repeated: true, ..self }
    }

    /// The eight arguments of one report.
    pub(super) fn to_args(&self) -> impl Iterator<Item = &str> {
        [self.id.as_str(), &self.token, self.outcome].into_iter().chain(self.args.iter().map(String::as_str))
    }
}

fn to_limit(retention: Option<Retention>) -> String {
    let (count, age) = retention.unwrap_or(Retention::KeepAll).count_and_age();
    format!("{count} {age}")
}

fn to_millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use examhall_core::{Backoff, RetryPolicy};

    fn held(attempts: u32, attempts_made: u32) -> Held {
        let retry = RetryPolicy { attempts, backoff: Backoff::exponential(Duration::from_secs(2)) };
        let options = JobOptions { retry, remove_on_fail: Some(Retention::Newest(5)), ..JobOptions::default() };
        Held {
            id: "7".into(),
            token: "t:1".into(),
            options,
            attempts_made,
            deduplication_id: "d".into(),
            stacktrace: vec!["Error: before".into()],
        }
    }

    fn args(report: &Report) -> Vec<&str> {
        report.to_args().collect()
    }

    fn failed(reason: &str) -> Run {
        Run::Ended(Outcome::Failed(Failure::new(reason)))
    }

    #[test]
    fn a_failure_with_attempts_left_is_retried_after_its_backoff() {
        let report = held(3, 1).conclude(failed("boom"), 0, 0.0);
        assert_eq!(report.ending, Ending::Again(4000));
        let traces = r#"["Error: before","Error: boom"]"#;
        assert_eq!(args(&report), ["7", "t:1", "retried", "2", "d", "boom", traces, "4000"]);
    }

    #[test]
    fn the_last_failure_ends_the_job() {
        let report = held(3, 2).conclude(failed("boom"), 0, 0.0);
        assert_eq!(report.ending, Ending::Failed);
        let traces = r#"["Error: before","Error: boom"]"#;
        assert_eq!(args(&report)[2..], ["failed", "3", "d", "boom", traces, "3 5 -1"]);
    }

    #[test]
    fn an_unrecoverable_failure_ends_the_job_whatever_is_left() {
        let report = held(9, 0).conclude(Run::Ended(Outcome::Unrecoverable(Failure::new("no such address"))), 0, 0.0);
        assert_eq!(report.ending, Ending::Failed);
    }

    #[test]
    fn only_the_newest_traces_are_kept() {
        let mut job = held(3, 0);
        job.options.stack_trace_limit = Some(1);
        assert_eq!(job.conclude(failed("boom"), 0, 0.0).args[3], r#"["Error: boom"]"#);
        let mut none = held(3, 0);
        none.options.stack_trace_limit = Some(0);
        assert_eq!(none.conclude(failed("boom"), 0, 0.0).args[3], "[]");
    }

    #[test]
    fn a_parked_job_is_due_after_its_span() {
        let report = held(3, 0).conclude(Run::Ended(Outcome::Parked(Duration::from_mins(5))), 1_000, 0.0);
        assert_eq!((report.outcome, report.args[2].as_str()), ("parked", "301000"));
    }

    #[test]
    fn a_completed_job_keeps_its_value_as_json() {
        let report = held(3, 0).conclude(Run::Ended(Outcome::Completed(Value::Null)), 0, 0.0);
        assert_eq!(args(&report)[2..], ["completed", "1", "d", "null", "-1 -1", ""]);
    }
}
