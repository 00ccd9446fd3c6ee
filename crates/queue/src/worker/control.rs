//! Changing a worker while it runs.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::watch;

/// Changes a running worker. Cheap to clone; does nothing once the worker is gone.
#[derive(Clone, Debug)]
pub struct WorkerControl {
    concurrency: watch::Sender<usize>,
    turned: Arc<Mutex<Instant>>,
}

impl WorkerControl {
    pub(super) fn new(concurrency: usize) -> (Self, watch::Receiver<usize>) {
        let (concurrency, changes) = watch::channel(concurrency);
        (Self { concurrency, turned: Arc::new(Mutex::new(Instant::now())) }, changes)
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
}
