//! Drains a queue: runs a worker until there is nothing left to do.

use std::{collections::HashMap, time::Duration};

use serde::de::DeserializeOwned;
use tokio_util::sync::CancellationToken;

use super::{
    Handler, Worker,
    plan::Next,
    report::{Report, ReportKind},
};
use crate::clock::millis;

/// Result of [`Worker::drain`].
/// ```
/// # use examhall_queue::Drained;
/// fn exit_code(drained: &Drained) -> i32 {
///     if drained.failed.is_empty() { 0 } else { 1 }
/// }
/// # assert_eq!(exit_code(&Drained::default()), 0);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Drained {
    /// Number of completed jobs.
    pub completed: u64,
    /// Ids of jobs that failed for good.
    pub failed: Vec<String>,
    /// Number of jobs whose next run is due after the timeout.
    pub retried_later: u64,
}

#[derive(Default)]
pub(super) struct Draining {
    drained: Drained,
    /// When the retries of this worker's jobs are due, in ms since 1970.
    retries: HashMap<String, i64>,
}

impl Draining {
    pub(super) fn started(&mut self, id: &str) {
        self.retries.remove(id);
    }

    pub(super) fn reported(&mut self, report: &Report, now: i64) {
        match &report.kind {
            ReportKind::Completed { .. } => self.drained.completed += 1,
            ReportKind::Failed { .. } | ReportKind::Poisoned { .. } => self.drained.failed.push(report.job.id.clone()),
            _ => {
                let due = report.runs_again_after().map(|delay| now.saturating_add_unsigned(delay));
                self.retries.extend(due.map(|due| (report.job.id.clone(), due)));
            }
        }
    }

    /// Returns when the next retry is due that is worth waiting for.
    fn next_retry(&mut self, polled_at: i64, timeout: Duration) -> Option<i64> {
        // A job that was due at the poll and not taken was taken by another worker.
        self.retries.retain(|_, due| *due > polled_at);
        let latest = polled_at.saturating_add_unsigned(millis(timeout));
        self.retries.values().copied().filter(|due| *due <= latest).min()
    }
}

impl<T, H> Worker<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    /// Runs until there is nothing left to take, and the retries of its jobs that are due within `timeout` have run too,
    /// or until `stop`. With a concurrency of 0 it ends once running jobs have.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{Error, Job, Outcome, Queue, Worker, WorkerOptions};
    /// # use tokio_util::sync::CancellationToken;
    /// # async fn run(queue: Queue<String>) -> Result<(), Error> {
    /// let handler = |job: Job<String>| async move { Outcome::Completed(job.data.into()) };
    /// let worker = Worker::new(queue, WorkerOptions::default(), handler)?;
    /// let drained = worker.drain(Duration::from_secs(15), CancellationToken::new()).await;
    /// println!("{} done, failed: {:?}, {} later", drained.completed, drained.failed, drained.retried_later);
    /// # Ok(())
    /// # }
    /// ```
    pub async fn drain(mut self, timeout: Duration, stop: CancellationToken) -> Drained {
        self.draining = Some(Draining::default());
        while !stop.is_cancelled() {
            self.send().await;
            if self.is_drained(timeout) {
                break;
            }
            self.wait(&stop).await;
        }
        self.finish().await;
        let Draining { drained, retries } = self.draining.unwrap_or_default();
        Drained { retried_later: retries.len() as u64, ..drained }
    }

    /// Returns whether there is nothing left to do; if there is only a retry, plans to wait for it.
    fn is_drained(&mut self, timeout: Duration) -> bool {
        let is_idle = self.state().is_idle();
        if is_idle && *self.concurrency.borrow() == 0 && self.polls.doubt.is_none() {
            return true; // it can take nothing
        }
        // There may be more jobs after a rate limit, and among those of a poll whose answer was lost.
        let (Next::Wait { until, polled_at, is_limited: false }, true, None) =
            (&mut self.polls.next, is_idle, self.polls.doubt)
        else {
            return false;
        };
        let Some(draining) = &mut self.draining else { return false };
        *until = draining.next_retry(*polled_at, timeout);
        until.is_none()
    }
}
