//! A job's options: as this crate writes them, and as it reads those of other clients.

mod check;
mod deduplication;
mod json;
mod retention;

use std::time::Duration;

use crate::{Backoff, RetryPolicy};

pub(crate) use self::{
    check::{
        LONGEST, check_deduplication_id, check_due, check_job, check_priority, check_rate_limit, check_retention,
        check_span,
    },
    retention::Limits,
};
pub use self::{deduplication::Deduplication, retention::Retention};

/// How a job is run and kept. Defaults are not written. Each option has a setter of its name:
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::{Backoff, Deduplication, JobOptions, Retention};
/// let options = JobOptions::default()
///     .job_id("guest-7") // adding it again changes nothing
///     .priority(2) // 1 goes first; 0, none, before all
///     .delay(Duration::from_secs(60))
///     .attempts(3)
///     .backoff(Backoff::exponential(Duration::from_secs(2)).jitter(0.25))
///     .remove_on_complete(Retention::Newest(1000))
///     .deduplication(Deduplication::ttl("guest", Duration::from_secs(60)));
/// assert_eq!(options.retry.attempts, 3);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct JobOptions {
    /// Id of the job; adding an existing id changes nothing. A number if absent.
    pub job_id: Option<String>,
    /// BullMQ's scale: 1 goes first; 0, no priority, before all.
    pub priority: u32,
    /// Time before it is run.
    pub delay: Duration,
    /// Number of attempts, and the backoff between them.
    pub retry: RetryPolicy,
    /// Name of a backoff of the worker's, instead of the kind in `retry`; BullMQ's `backoff: {type: 'name', delay}`.
    pub backoff_strategy: Option<String>,
    /// How long it is kept once completed; forever if absent.
    pub remove_on_complete: Option<Retention>,
    /// How long it is kept once failed for good; forever if absent.
    pub remove_on_fail: Option<Retention>,
    /// Number of traces of failed runs to keep, newest first; 10 if absent.
    pub stack_trace_limit: Option<u32>,
    /// Number of log lines to keep; all if absent.
    pub keep_logs: Option<u32>,
    /// Whether it goes before all others without a priority, instead of behind them.
    pub lifo: bool,
    /// Makes several adds for the same reason idempotent.
    pub deduplication: Option<Deduplication>,
    /// JSON text of the trace the job belongs to, such as `{"traceparent":"00-..."}`; not written if it is no JSON.
    pub telemetry: Option<String>,
    /// Whether its runs belong to no trace; BullMQ's `telemetry.omitContext`.
    pub omit_context: bool,
    /// When it was added, in ms since 1970, from which its delay counts; the time of the add if absent.
    pub timestamp: Option<i64>,
    /// Largest number of bytes of its data as JSON: longer data is not added.
    pub size_limit: Option<u64>,
}

impl Default for JobOptions {
    fn default() -> Self {
        Self {
            job_id: None,
            priority: 0,
            delay: Duration::ZERO,
            retry: RetryPolicy { attempts: 0, backoff: Backoff::fixed(Duration::ZERO) },
            backoff_strategy: None,
            remove_on_complete: None,
            remove_on_fail: None,
            stack_trace_limit: None,
            keep_logs: None,
            lifo: false,
            deduplication: None,
            telemetry: None,
            omit_context: false,
            timestamp: None,
            size_limit: None,
        }
    }
}

impl JobOptions {
    /// Largest priority whose score, with its counter, a double represents exactly.
    pub const MAX_PRIORITY: u32 = 2_097_151;

    /// Sets the job's id; adding an existing id changes nothing.
    #[must_use]
    pub fn job_id(mut self, id: impl Into<String>) -> Self {
        self.job_id = Some(id.into());
        self
    }

    /// Sets the priority: 1 goes first; 0, no priority, before all.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the time before it is run.
    #[must_use]
    pub fn delay(mut self, delay: Duration) -> Self {
        self.delay = delay;
        self
    }

    /// Sets number of attempts and backoff.
    #[must_use]
    pub fn retry(mut self, retry: RetryPolicy) -> Self {
        self.retry = retry;
        self
    }

    /// Sets the number of runs in all, the first one included.
    #[must_use]
    pub fn attempts(mut self, attempts: u32) -> Self {
        self.retry.attempts = attempts;
        self
    }

    /// Sets the delays between its runs.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.retry.backoff = backoff;
        self
    }

    /// Names a backoff of the worker's, which gets `delay`.
    #[must_use]
    pub fn backoff_strategy(mut self, name: impl Into<String>, delay: Duration) -> Self {
        self.backoff_strategy = Some(name.into());
        self.retry.backoff = Backoff::fixed(delay);
        self
    }

    /// Sets how long it is kept once completed.
    #[must_use]
    pub fn remove_on_complete(mut self, retention: Retention) -> Self {
        self.remove_on_complete = Some(retention);
        self
    }

    /// Sets how long it is kept once failed for good.
    #[must_use]
    pub fn remove_on_fail(mut self, retention: Retention) -> Self {
        self.remove_on_fail = Some(retention);
        self
    }

    /// Sets the number of traces of failed runs to keep.
    #[must_use]
    pub fn stack_trace_limit(mut self, traces: u32) -> Self {
        self.stack_trace_limit = Some(traces);
        self
    }

    /// Sets the number of log lines to keep.
    #[must_use]
    pub fn keep_logs(mut self, lines: u32) -> Self {
        self.keep_logs = Some(lines);
        self
    }

    /// Sets whether it goes before all others without a priority.
    #[must_use]
    pub fn lifo(mut self, lifo: bool) -> Self {
        self.lifo = lifo;
        self
    }

    /// Makes several adds for the same reason idempotent.
    #[must_use]
    pub fn deduplication(mut self, deduplication: Deduplication) -> Self {
        self.deduplication = Some(deduplication);
        self
    }

    /// Sets the JSON text of the trace the job belongs to.
    #[must_use]
    pub fn telemetry(mut self, trace: impl Into<String>) -> Self {
        self.telemetry = Some(trace.into());
        self
    }

    /// Sets whether its runs belong to no trace.
    #[must_use]
    pub fn omit_context(mut self, omit: bool) -> Self {
        self.omit_context = omit;
        self
    }

    /// Sets when it was added, in ms since 1970, from which its delay counts.
    #[must_use]
    pub fn timestamp(mut self, time: i64) -> Self {
        self.timestamp = Some(time);
        self
    }

    /// Sets the largest number of bytes of its data as JSON.
    #[must_use]
    pub fn size_limit(mut self, bytes: u64) -> Self {
        self.size_limit = Some(bytes);
        self
    }
}
