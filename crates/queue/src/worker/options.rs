//! Options and handler of a worker.

use std::time::Duration;

use super::{Backoffs, poll::Taking, report::Rules};
use crate::{
    Error, Failure, IntoOutcome, Job, JobOptions, Outcome, RateLimit, Retention,
    options::{check_rate_limit, check_retention, check_span},
};

/// Largest number of minutes in the metrics: a year.
const MOST_MINUTES: u32 = 525_600;

/// Options of a worker. Each has a setter of its name:
/// ```
/// # use std::time::Duration;
/// # use examhall_queue::WorkerOptions;
/// let options = WorkerOptions::default().concurrency(20).lock(Duration::from_secs(60)).name("converter");
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
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
    /// Number of runs that a job may start, those that lost their worker included; BullMQ's `maxStartedAttempts`. A job
    /// that has started as many is not retried, and one that has started more fails without a run.
    pub max_started_attempts: Option<u32>,
    /// Backoffs that jobs name.
    pub backoffs: Backoffs,
    /// Limit for the jobs that this worker and others with a limit start, all together; BullMQ's `limiter`. The number of
    /// [`Queue::set_rate_limit`](crate::Queue::set_rate_limit) wins.
    pub limiter: Option<RateLimit>,
    /// Number of minutes of which the queue's [metrics](crate::Queue::metrics) are kept; BullMQ's `maxDataPoints`. None are
    /// written if absent.
    pub metrics: Option<u32>,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            concurrency: 5,
            lock: Duration::from_secs(30),
            stalled_interval: Duration::from_secs(30),
            max_stalls: 5,
            drain_delay: Duration::from_secs(5),
            grace: Duration::from_secs(60),
            name: String::new(),
            remove_on_complete: None,
            remove_on_fail: None,
            max_started_attempts: None,
            backoffs: Backoffs::NONE,
            limiter: None,
            metrics: None,
        }
    }
}

impl WorkerOptions {
    /// Sets the number of jobs that it runs at once.
    #[must_use]
    pub fn concurrency(mut self, jobs: usize) -> Self {
        self.concurrency = jobs;
        self
    }

    /// Sets the duration of a job's lock.
    #[must_use]
    pub fn lock(mut self, duration: Duration) -> Self {
        self.lock = duration;
        self
    }

    /// Sets the interval of the search for jobs of vanished workers.
    #[must_use]
    pub fn stalled_interval(mut self, interval: Duration) -> Self {
        self.stalled_interval = interval;
        self
    }

    /// Sets the number of times that a job may lose its worker before it fails.
    #[must_use]
    pub fn max_stalls(mut self, stalls: u32) -> Self {
        self.max_stalls = stalls;
        self
    }

    /// Sets the longest wait for jobs without a poll.
    #[must_use]
    pub fn drain_delay(mut self, delay: Duration) -> Self {
        self.drain_delay = delay;
        self
    }

    /// Sets the time that a stopping worker waits for running jobs.
    #[must_use]
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// Sets the name that operators see.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Sets how long completed jobs are kept whose own options do not say.
    #[must_use]
    pub fn remove_on_complete(mut self, retention: Retention) -> Self {
        self.remove_on_complete = Some(retention);
        self
    }

    /// Sets how long failed jobs are kept whose own options do not say.
    #[must_use]
    pub fn remove_on_fail(mut self, retention: Retention) -> Self {
        self.remove_on_fail = Some(retention);
        self
    }

    /// Sets the number of runs that a job may start.
    #[must_use]
    pub fn max_started_attempts(mut self, runs: u32) -> Self {
        self.max_started_attempts = Some(runs);
        self
    }

    /// Sets the backoffs that jobs name.
    #[must_use]
    pub fn backoffs(mut self, backoffs: Backoffs) -> Self {
        self.backoffs = backoffs;
        self
    }

    /// Sets the limit for the jobs that this worker and others with a limit start, all together.
    #[must_use]
    pub fn limiter(mut self, limit: RateLimit) -> Self {
        self.limiter = Some(limit);
        self
    }

    /// Sets the number of minutes of which metrics are kept.
    #[must_use]
    pub fn metrics(mut self, minutes: u32) -> Self {
        self.metrics = Some(minutes);
        self
    }

    pub(super) fn taking<'a>(&'a self, wanted: usize, token: &'a str) -> Taking<'a> {
        let Self { lock, name, metrics, limiter, .. } = self;
        let (lock, metrics, limiter) = (*lock, *metrics, *limiter);
        Taking { wanted, lock, worker_name: name, token, looks_for_delayed: true, metrics, limiter }
    }

    pub(super) fn rules(&self) -> Rules<'_> {
        Rules { backoffs: &self.backoffs, max_started_attempts: self.max_started_attempts }
    }

    /// Adds the worker's retention to options of a job that have none.
    pub(super) fn with_retention(&self, mut options: JobOptions) -> JobOptions {
        options.remove_on_complete = options.remove_on_complete.or(self.remove_on_complete);
        options.remove_on_fail = options.remove_on_fail.or(self.remove_on_fail);
        options
    }

    /// Checks what the worker's timers and Redis can take.
    pub(super) fn check(&self) -> Result<(), Error> {
        let shortest = Duration::from_millis(1);
        check_span("lock", self.lock, shortest)?;
        check_span("stalled_interval", self.stalled_interval, shortest)?;
        check_span("drain_delay", self.drain_delay, Duration::ZERO)?;
        check_span("grace", self.grace, Duration::ZERO)?;
        if let Some(RateLimit { jobs, period }) = self.limiter {
            check_rate_limit("limiter", jobs, period)?;
        }
        if self.metrics.is_some_and(|minutes| !(1..=MOST_MINUTES).contains(&minutes)) {
            return Err(Error::BadOption { option: "metrics", reason: "it must be between a minute and a year" });
        }
        check_retention("remove_on_complete", self.remove_on_complete)?;
        check_retention("remove_on_fail", self.remove_on_fail)
    }
}

/// Runs jobs. Implemented by each function that takes a [`Job`] and returns a future of an [`Outcome`] or of a `Result`:
/// ```no_run
/// # use examhall_queue::{Error, Job, Queue, Worker, WorkerOptions};
/// async fn convert(job: Job<String>) -> anyhow::Result<usize> {
///     let text = std::fs::read_to_string(&job.data)?; // fails the run, which is retried as the job's options say
///     Ok(text.len())
/// }
/// # fn run(queue: Queue<String>) -> Result<(), Error> {
/// let worker = Worker::new(queue, WorkerOptions::default(), convert)?;
/// # Ok(())
/// # }
/// ```
/// A type that implements it can hold what the jobs need, and wrap another handler, as a layer around it:
/// ```
/// # use examhall_queue::{Handler, Job, Outcome};
/// # use std::time::Instant;
/// struct Timed<H>(H);
///
/// impl<T: Send + 'static, H: Handler<T>> Handler<T> for Timed<H> {
///     async fn run(&self, job: Job<T>) -> Outcome {
///         let (name, started) = (job.name.clone(), Instant::now());
///         let outcome = self.0.run(job).await;
///         println!("{name} took {:?}", started.elapsed());
///         outcome
///     }
/// }
/// ```
pub trait Handler<T>: Send + Sync + 'static {
    /// Runs one job. A panic counts as [`Outcome::Failed`], with its text as the reason.
    fn run(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send;

    /// Decides the outcome of a job that lost its worker, or was started, too often to be run again, for the given
    /// `reason`. Fails the job by default.
    fn give_up(&self, _job: Job<T>, reason: String) -> impl Future<Output = Outcome> + Send {
        std::future::ready(Outcome::Unrecoverable(Failure::new(reason)))
    }
}

impl<T, F, R> Handler<T> for F
where
    F: Fn(Job<T>) -> R + Send + Sync + 'static,
    R: Future<Output: IntoOutcome> + Send,
{
    fn run(&self, job: Job<T>) -> impl Future<Output = Outcome> + Send {
        let running = self(job);
        async { running.await.into_outcome() }
    }
}
