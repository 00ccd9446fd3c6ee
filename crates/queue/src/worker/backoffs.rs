//! Backoffs that jobs name and a worker has.

use std::{
    collections::HashMap,
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
};

use crate::{AfterFailure, Backoff, Failure, JobOptions};

/// Decides whether and when a failed job runs again.
type Strategy = Arc<dyn Fn(&FailedRun<'_>) -> AfterFailure + Send + Sync>;

/// Backoffs by name, for jobs with a [`JobOptions::backoff_strategy`]; Node's `settings.backoffStrategy`.
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::{AfterFailure, Backoffs};
/// let backoffs = Backoffs::NONE.with("linear", |run| {
///     match run.failure.reason.as_str() {
///         "gone" => AfterFailure::GiveUp,
///         _ => AfterFailure::RetryAfter(run.options.retry.backoff.delay * run.attempts_made),
///     }
/// });
/// ```
#[derive(Clone, Default)]
pub struct Backoffs {
    by_name: Option<Arc<HashMap<String, Strategy>>>,
}

/// A failed run of a job that has attempts left.
/// ```
/// # use examhall_queue::{AfterFailure, FailedRun};
/// # use std::time::Duration;
/// fn busy_later(run: FailedRun<'_>) -> AfterFailure {
///     let seconds = if run.failure.reason.contains("busy") { 60 } else { 1 };
///     AfterFailure::RetryAfter(Duration::from_secs(seconds))
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct FailedRun<'a> {
    /// The job's id.
    pub id: &'a str,
    /// The job's options, with the delay of its backoff.
    pub options: &'a JobOptions,
    /// Runs that have ended, this one included.
    pub attempts_made: u32,
    /// Why it failed.
    pub failure: &'a Failure,
}

impl Backoffs {
    /// No backoff. A job that names one is retried after its fixed delay; in Node its failures would stall it.
    pub const NONE: Self = Self { by_name: None };

    /// Adds a backoff. Jobs with the types `fixed` and `exponential` do not ask for one.
    #[must_use]
    pub fn with(
        mut self,
        name: impl Into<String>,
        strategy: impl Fn(&FailedRun<'_>) -> AfterFailure + Send + Sync + 'static,
    ) -> Self {
        let by_name = Arc::make_mut(self.by_name.get_or_insert_default());
        by_name.insert(name.into(), Arc::new(strategy));
        self
    }

    /// Decides by the backoff of this name, if there is one and it does not panic.
    pub(super) fn after_failure(&self, name: &str, run: &FailedRun<'_>) -> Option<AfterFailure> {
        let strategy = self.by_name.as_ref()?.get(name)?;
        let decided = catch_unwind(AssertUnwindSafe(|| strategy(run)));
        if decided.is_err() {
            tracing::error!(job_id = run.id, backoff = name, "A backoff panicked");
        }
        decided.ok().map(|after| match after {
            AfterFailure::RetryAfter(delay) => AfterFailure::RetryAfter(delay.min(Backoff::LONGEST)),
            after => after,
        })
    }
}

impl fmt::Debug for Backoffs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.iter().flat_map(|by_name| by_name.keys())).finish()
    }
}
