//! Decides from a handler's outcome what is reported to Redis, without I/O.

use std::time::Duration;

use serde_json::Value;

use super::refusals::Refusals;
use crate::{
    AfterFailure, Backoffs, FailedRun, Failure, JobOptions, Outcome, Retention,
    clock::millis,
    code::Code,
    hooks::WorkerEvent,
    job::{Poison, TakenJob},
    options::{LONGEST, Limits},
};

/// Largest value that a job may return, in bytes of JSON.
const LONGEST_VALUE: usize = 64 * 1024 * 1024;
/// Longest reason and longest stack of a failure, in bytes; the rest is cut off.
const LONGEST_TEXT: usize = 1024 * 1024;
/// Number of traces to keep for a job whose options have none.
const TRACES: usize = 10;

/// What the decision needs of a job.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct RunningJob {
    /// Counts the worker's jobs in the order in which it took them.
    pub(super) number: u64,
    /// Number of jobs that had been added when it was taken, or 0: it has become a child since then only if one was added.
    pub(super) added: u64,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) token: String,
    pub(super) options: JobOptions,
    attempts_made: u32,
    attempts_started: u32,
    deduplication_id: String,
    stacktrace: Vec<String>,
    /// Whether it is a child of a flow.
    is_child: bool,
}

/// What the decision needs of the worker.
#[derive(Clone, Copy)]
pub(super) struct Rules<'a> {
    pub(super) backoffs: &'a Backoffs,
    /// Runs that a job may start, the ones that lost their worker included.
    pub(super) max_started_attempts: Option<u32>,
}

/// How a run ended.
#[derive(Debug)]
pub(super) enum Run {
    Ended(Outcome),
    /// Not started: the job's hash is broken.
    Poisoned(Poison),
}

/// Report of an ended run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Report {
    pub(super) job: RunningJob,
    pub(super) kind: ReportKind,
    /// Whether it was sent before and the answer was lost.
    pub(super) is_repeated: bool,
    pub(super) refusals: Refusals,
}

/// What happens to the job, with the arguments of `poll_head.lua` and `outcomes.lua`. Delays are in ms.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ReportKind {
    Completed { value: String, keep: Retention },
    Failed { reason: String, traces: String, attempts: u32, keep: Retention },
    Retried { reason: String, traces: String, delay: u64, lifo: bool },
    Snoozed { delay: u64, due: i64 },
    Limited { delay: u64 },
    WaitingChildren,
    Released,
    Poisoned { poison: Poison, keep: Retention },
}

impl Rules<'_> {
    /// Returns why a job must not be run, if it must not: it stalled or was started too often.
    pub(super) fn final_reason(self, taken: &TakenJob) -> Option<String> {
        let is_started_too_often = self.max_started_attempts.is_some_and(|most| taken.attempts_started() > most);
        let started = || "job started more than allowable limit".to_owned();
        taken.deferred_failure().or_else(|| is_started_too_often.then(started))
    }
}

impl RunningJob {
    pub(super) fn new(job: &TakenJob, options: JobOptions) -> Self {
        Self {
            number: 0,
            added: 0,
            id: job.id.clone(),
            name: job.name(),
            token: job.token.clone(),
            options,
            attempts_made: job.attempts_made(),
            attempts_started: job.attempts_started(),
            deduplication_id: job.deduplication_id(),
            stacktrace: job.stacktrace(),
            is_child: job.is_child(),
        }
    }

    /// Decides; `now` is in ms since 1970, `random` a sample of [0, 1) for the jitter.
    pub(super) fn conclude(self, run: Run, rules: Rules<'_>, now: i64, random: f64) -> Report {
        let kind = match run {
            Run::Poisoned(poison) => ReportKind::Poisoned { poison, keep: keep(self.options.remove_on_fail) },
            Run::Ended(Outcome::Completed(value)) => match value.to_string() {
                value if value.len() > LONGEST_VALUE => self.failed(too_long(&value)),
                value => ReportKind::Completed { value, keep: keep(self.options.remove_on_complete) },
            },
            Run::Ended(Outcome::Failed(failure)) => match self.after_failure(&failure, rules, random) {
                AfterFailure::RetryAfter(delay) => {
                    let failure = shortened(failure);
                    ReportKind::Retried {
                        traces: self.traces(&failure),
                        reason: failure.reason,
                        delay: millis(delay.min(LONGEST)),
                        lifo: self.options.lifo,
                    }
                }
                _ => self.failed(shortened(failure)),
            },
            Run::Ended(Outcome::Unrecoverable(failure)) => self.failed(shortened(failure)),
            Run::Ended(Outcome::Snoozed(span)) => {
                let delay = millis(span.min(LONGEST));
                ReportKind::Snoozed { delay, due: now.saturating_add_unsigned(delay) }
            }
            Run::Ended(Outcome::RateLimited(span)) => ReportKind::Limited { delay: millis(span.min(LONGEST)).max(1) },
            Run::Ended(Outcome::WaitingChildren) => ReportKind::WaitingChildren,
            Run::Ended(Outcome::Released) => ReportKind::Released,
        };
        self.reported(kind)
    }

    pub(super) fn reported(self, kind: ReportKind) -> Report {
        Report { job: self, kind, is_repeated: false, refusals: Refusals::default() }
    }

    #[cfg(test)]
    pub(super) fn example(id: &str) -> Self {
        Self {
            number: 0,
            added: 0,
            id: id.into(),
            name: "greet".into(),
            token: "t:1".into(),
            options: JobOptions::default(),
            attempts_made: 0,
            attempts_started: 1,
            deduplication_id: String::new(),
            stacktrace: Vec::new(),
            is_child: false,
        }
    }

    fn after_failure(&self, failure: &Failure, rules: Rules<'_>, random: f64) -> AfterFailure {
        let made = self.attempts_made.saturating_add(1);
        if rules.max_started_attempts.is_some_and(|most| most <= self.attempts_started) {
            return AfterFailure::GiveUp;
        }
        let by_policy = self.options.retry.after_failure(made, random);
        match (&self.options.backoff_strategy, by_policy) {
            (Some(name), AfterFailure::RetryAfter(_)) => {
                let (id, options) = (self.id.as_str(), &self.options);
                let run = FailedRun { id, options, attempts_made: made, failure };
                rules.backoffs.after_failure(name, &run).unwrap_or(by_policy)
            }
            _ => by_policy,
        }
    }

    /// Number of the run, from 1.
    pub(super) fn attempt(&self) -> u32 {
        self.attempts_made.saturating_add(1)
    }

    fn failed(&self, failure: Failure) -> ReportKind {
        ReportKind::Failed {
            traces: self.traces(&failure),
            reason: failure.reason,
            attempts: self.options.retry.attempts,
            keep: keep(self.options.remove_on_fail),
        }
    }

    /// Returns the job's traces with this failure, oldest first, as a JSON array.
    fn traces(&self, failure: &Failure) -> String {
        let limit = self.options.stack_trace_limit.map_or(TRACES, |limit| usize::try_from(limit).unwrap_or(TRACES));
        let mut traces = self.stacktrace.clone();
        traces.push(failure.trace());
        let surplus = traces.len().saturating_sub(limit);
        Value::from(traces.split_off(surplus)).to_string()
    }
}

impl Report {
    /// What hooks receive once Redis has stored it.
    pub(super) fn to_event(&self) -> Option<WorkerEvent<'_>> {
        let (id, name, attempt) = (self.job.id.as_str(), self.job.name.as_str(), self.job.attempt());
        let failed = |reason, retried_after| WorkerEvent::Failed { id, name, attempt, reason, retried_after };
        match &self.kind {
            ReportKind::Completed { value, .. } => {
                Some(WorkerEvent::Completed { id, name, attempt, returnvalue: value })
            }
            ReportKind::Retried { reason, delay, .. } => Some(failed(reason, Some(Duration::from_millis(*delay)))),
            ReportKind::Failed { reason, .. } | ReportKind::Poisoned { poison: Poison { reason, .. }, .. } => {
                Some(failed(reason, None))
            }
            ReportKind::Snoozed { .. }
            | ReportKind::Limited { .. }
            | ReportKind::WaitingChildren
            | ReportKind::Released => None,
        }
    }

    /// The report to send again after its answer was lost.
    pub(super) fn repeated(self) -> Self {
        Self { is_repeated: true, ..self }
    }

    /// The report to send again after Redis refused it, with others or because of it.
    pub(super) fn refused_once_more(self, was_alone: bool) -> Self {
        Self { refusals: self.refusals.one_more(was_alone), ..self }
    }

    /// Returns about how many bytes it has.
    pub(super) fn bytes(&self) -> usize {
        match &self.kind {
            ReportKind::Completed { value, .. } => value.len(),
            ReportKind::Failed { reason, traces, .. } | ReportKind::Retried { reason, traces, .. } => {
                reason.len() + traces.len()
            }
            ReportKind::Poisoned { poison, .. } => poison.reason.len() + poison.data.len(),
            _ => 0,
        }
    }

    /// The report after Redis refused this one: the job has children that have not ended, or that have failed it. What
    /// BullMQ's workers do: the run has failed.
    pub(super) fn refused(self, code: Code, rules: Rules<'_>, now: i64, random: f64) -> Self {
        let id = &self.job.id;
        let run = if code == Code::FailedChildren {
            let reason = format!("job {id} cannot end: at least one of its children has failed");
            Outcome::Unrecoverable(Failure::new(reason))
        } else {
            Outcome::Failed(Failure::new(format!("job {id} cannot complete: it has pending children")))
        };
        self.job.conclude(Run::Ended(run), rules, now, random)
    }

    /// Returns after how many ms the job runs again, if it does.
    pub(super) fn runs_again_after(&self) -> Option<u64> {
        match self.kind {
            ReportKind::Retried { delay, .. } | ReportKind::Snoozed { delay, .. } | ReportKind::Limited { delay } => {
                Some(delay)
            }
            _ => None,
        }
    }

    /// The arguments of a report, as `poll_head.lua` describes them.
    pub(super) fn to_args(&self) -> [String; 8] {
        let RunningJob { id, token, deduplication_id, attempts_started, .. } = &self.job;
        let (outcome, [a, b, c]) = match &self.kind {
            ReportKind::Completed { value, keep } => {
                let outcome = if self.job.is_child { "child_completed" } else { "completed" };
                (outcome, [value.clone(), to_limit(*keep), deduplication_id.clone()])
            }
            ReportKind::Failed { reason, traces, attempts, keep } => {
                let spec = format!("{attempts} {} {deduplication_id}", to_limit(*keep));
                ("failed", [reason.clone(), traces.clone(), spec])
            }
            ReportKind::Retried { reason, traces, delay, lifo } => {
                let delay = if *delay == 0 && *lifo { "-1".to_owned() } else { delay.to_string() };
                ("retried", [reason.clone(), traces.clone(), delay])
            }
            ReportKind::Snoozed { due, .. } => ("snoozed", [due.to_string(), String::new(), String::new()]),
            ReportKind::Limited { delay } => ("limited", [delay.to_string(), String::new(), String::new()]),
            ReportKind::WaitingChildren => ("waiting_children", Default::default()),
            ReportKind::Released => ("released", Default::default()),
            ReportKind::Poisoned { poison, keep } => {
                let spec = format!("{} {} {deduplication_id}", to_limit(*keep), poison.fields.join(","));
                ("poisoned", [poison.reason.clone(), poison.data.clone(), spec])
            }
        };
        let (made, started) = (self.job.attempt().to_string(), attempts_started.to_string());
        [id.clone(), token.clone(), outcome.to_owned(), made, started, a, b, c]
    }
}

/// Cuts long texts off.
fn shortened(mut failure: Failure) -> Failure {
    for text in [Some(&mut failure.reason), failure.name.as_mut(), failure.stack.as_mut()].into_iter().flatten() {
        if text.len() > LONGEST_TEXT {
            let end = (0..=LONGEST_TEXT).rev().find(|at| text.is_char_boundary(*at)).unwrap_or_default();
            text.truncate(end);
        }
    }
    failure
}

fn too_long(value: &str) -> Failure {
    Failure::new(format!("the job's value has {} bytes, and {LONGEST_VALUE} are stored at most", value.len()))
}

fn keep(retention: Option<Retention>) -> Retention {
    retention.unwrap_or(Retention::KeepAll)
}

/// A limit, as `poll_head.lua` describes it.
fn to_limit(keep: Retention) -> String {
    match keep {
        Retention::KeepAll => String::new(),
        Retention::Remove => "0".to_owned(),
        _ => {
            let Limits { count, age, removed } = keep.limits();
            format!("{count},{age},{removed}")
        }
    }
}

#[cfg(test)]
mod tests;
