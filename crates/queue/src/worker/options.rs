//! Options and handler of a worker.

use std::time::Duration;

use crate::{Failure, Job, Outcome, Retention};

/// Options of a worker.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Number of jobs that it runs at once.
    pub concurrency: usize,
    /// Duration of a job's lock, after which other workers may take the job if it is not renewed.
    pub lock: Duration,
    /// Interval of the search for jobs of vanished workers.
    pub stalled_interval: Duration,
    /// Number of times that a job may lose its worker before it fails.
    pub max_stalls: u32,
    /// Longest wait for jobs without a poll.
    pub drain_delay: Duration,
    /// Time that a stopping worker waits for running jobs before it releases them.
    pub grace: Duration,
    /// Name, stored as the job's `processedBy` and shown in BullMQ's list of workers.
    pub name: String,
    /// How long completed jobs are kept whose own options do not say; forever if absent.
    pub remove_on_complete: Option<Retention>,
    /// How long failed jobs are kept whose own options do not say; forever if absent.
    pub remove_on_fail: Option<Retention>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 5,
            lock: Duration::from_secs(30),
            stalled_interval: Duration::from_secs(30),
            max_stalls: 5,
            drain_delay: Duration::from_secs(5),
            grace: Duration::from_mins(1),
            name: String::new(),
            remove_on_complete: None,
            remove_on_fail: None,
        }
    }
}

/// Runs jobs.
pub trait Handler<T>: Send + Sync + 'static {
    /// Runs one job. A panic counts as [`Outcome::Failed`].
    fn run(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send;

    /// Decides the outcome of a job that lost its worker too often to be run again, for the given `reason` (BullMQ's
    /// `defa`). Fails the job by default.
    fn give_up(&self, _job: Job<T>, reason: String) -> impl Future<Output = Outcome> + Send {
        std::future::ready(Outcome::Unrecoverable(Failure::new(reason)))
    }
}

impl<T, F, R> Handler<T> for F
where
    F: Fn(Job<T>) -> R + Send + Sync + 'static,
    R: Future<Output = Outcome> + Send,
{
    fn run(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send {
        self(job)
    }
}
