//! How a worker works, and what runs its jobs.

use std::time::Duration;

use crate::{Failure, Job, Outcome, Retention};

/// How a worker works.
#[derive(Clone, Debug)]
pub struct WorkerOptions {
    /// Jobs it runs at once.
    pub concurrency: usize,
    /// How long a job stays its own once it no longer answers.
    pub lock: Duration,
    /// How often jobs of vanished workers are looked for.
    pub stalled_interval: Duration,
    /// How often a job may lose its worker before it fails.
    pub max_stalls: u32,
    /// How long it sleeps where nothing wakes it.
    pub drain_delay: Duration,
    /// How long a stopping worker waits for what it runs; then it gives it back.
    pub grace: Duration,
    /// Shown as the job's `processedBy` and in BullMQ's list of workers.
    pub name: String,
    /// What happens to completed jobs whose options do not say; kept for ever where absent.
    pub remove_on_complete: Option<Retention>,
    /// What happens to failed jobs whose options do not say; kept for ever where absent.
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

/// What runs a job.
pub trait Handler<T>: Send + Sync + 'static {
    /// Runs one job. A panic counts as [`Outcome::Failed`].
    fn run(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send;

    /// What becomes of a job that lost its worker so often that it is not run again, for the given `reason` (BullMQ's
    /// `defa`): it fails, unless the handler knows better.
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
