//! Controls and observes a running worker.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::in_flight::InFlight;

/// Controls a running worker. Cheap to clone; has no effect once the worker has ended.
/// ```no_run
/// # use examhall_queue::{Error, Job, Queue, Worker, WorkerOptions};
/// # fn run(queue: Queue<String>) -> Result<(), Error> {
/// let worker = Worker::new(queue, WorkerOptions::default(), |_: Job<String>| async { Ok::<_, Error>(()) })?;
/// let control = worker.control();
/// control.set_concurrency(0); // takes no more jobs
/// println!("{} completed so far", control.tally().completed);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct WorkerControl {
    concurrency: watch::Sender<usize>,
    iterated: Arc<Mutex<Instant>>,
    pub(super) counters: Counters,
    in_flight: InFlight,
}

/// Numbers of jobs since a worker's start.
/// ```
/// # use examhall_queue::Tally;
/// fn ended(tally: Tally) -> u64 {
///     tally.completed + tally.failed
/// }
/// # assert_eq!(ended(Tally::default()), 0);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Tally {
    /// Jobs that it completed.
    pub completed: u64,
    /// Jobs that it ran and that failed for good.
    pub failed: u64,
    /// Jobs of vanished workers that it recovered.
    pub recovered: u64,
    /// Runs whose end was not recorded: the job was no longer this worker's, or Redis was unreachable until the worker
    /// stopped. Another worker may run the job again.
    pub lost: u64,
}

/// Counters of a [`Tally`], shared by their clones.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters {
    pub(super) completed: Counter,
    pub(super) failed: Counter,
    pub(super) recovered: Counter,
    pub(super) lost: Counter,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Counter(Arc<AtomicU64>);

impl Counter {
    pub(super) fn add(&self, jobs: usize) {
        self.0.fetch_add(jobs as u64, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl WorkerControl {
    pub(super) fn new(concurrency: usize, in_flight: InFlight) -> (Self, watch::Receiver<usize>) {
        let (concurrency, changes) = watch::channel(concurrency);
        let iterated = Arc::new(Mutex::new(Instant::now()));
        (Self { concurrency, iterated, counters: Counters::default(), in_flight }, changes)
    }

    /// Sets how many jobs it may run at once. Running jobs continue; with 0 it takes no more.
    pub fn set_concurrency(&self, jobs: usize) {
        self.concurrency.send_replace(jobs);
    }

    /// Returns how many jobs it may run at once.
    pub fn concurrency(&self) -> usize {
        *self.concurrency.borrow()
    }

    /// Returns the time since the last iteration of its loop: a few seconds at most while it runs, even if Redis is
    /// unreachable or its jobs take long.
    pub fn since_iteration(&self) -> Duration {
        self.iterated.lock().elapsed()
    }

    /// Notifies the handler of a running job that it should end, by [`Claim::cancelled`](crate::Claim::cancelled), and
    /// returns whether this worker runs the job. The handler decides on the outcome, as in BullMQ: a failure is retried as
    /// the job's options say.
    pub fn cancel_job(&self, id: &str, reason: &str) -> bool {
        self.in_flight.cancel(id, reason)
    }

    /// Notifies the handlers of all running jobs that they should end, and returns their number.
    pub fn cancel_all_jobs(&self, reason: &str) -> usize {
        let claims = self.in_flight.all();
        for claim in &claims {
            claim.cancel(reason);
        }
        claims.len()
    }

    pub(super) fn iterate(&self) {
        *self.iterated.lock() = Instant::now();
    }

    /// Returns the numbers of jobs so far.
    pub fn tally(&self) -> Tally {
        let Counters { completed, failed, recovered, lost } = &self.counters;
        Tally { completed: completed.get(), failed: failed.get(), recovered: recovered.get(), lost: lost.get() }
    }
}
