//! Changing a worker while it runs, and seeing what it has done.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// Changes a running worker. Cheap to clone; does nothing once the worker is gone.
#[derive(Clone, Debug)]
pub struct WorkerControl {
    concurrency: watch::Sender<usize>,
    turned: Arc<Mutex<Instant>>,
    pub(super) counters: Counters,
}

/// What a worker has done since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Jobs that it completed.
    pub completed: u64,
    /// Jobs that failed for good in its hands.
    pub failed: u64,
    /// Jobs of vanished workers that it gave back to the queue.
    pub recovered: u64,
}

/// What becomes a [`Tally`]. Cheap to clone; clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Counters(Arc<[AtomicU64; 3]>);

impl Counters {
    pub(super) fn completed(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn failed(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn recovered(&self, jobs: usize) {
        self.0[2].fetch_add(jobs as u64, Ordering::Relaxed);
    }
}

impl WorkerControl {
    pub(super) fn new(concurrency: usize) -> (Self, watch::Receiver<usize>) {
        let (concurrency, changes) = watch::channel(concurrency);
        let turned = Arc::new(Mutex::new(Instant::now()));
        (Self { concurrency, turned, counters: Counters::default() }, changes)
    }

    /// How many jobs it may run at once from now on. What runs already goes on; with 0 it takes no more.
    pub fn set_concurrency(&self, jobs: usize) {
        self.concurrency.send_replace(jobs);
    }

    /// How many jobs it may run at once.
    pub fn concurrency(&self) -> usize {
        *self.concurrency.borrow()
    }

    /// For how long its loop has not turned. A running worker's does so every few seconds, whatever Redis does and
    /// however long its jobs take.
    pub fn resting(&self) -> Duration {
        self.turned.lock().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    pub(super) fn turn(&self) {
        *self.turned.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// What it has done so far.
    pub fn tally(&self) -> Tally {
        let [completed, failed, recovered] = [0, 1, 2].map(|at: usize| self.counters.0[at].load(Ordering::Relaxed));
        Tally { completed, failed, recovered }
    }
}
