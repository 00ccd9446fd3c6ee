//! Changing a worker while it runs.

use tokio::sync::watch;

/// Changes a running worker. Cheap to clone; does nothing once the worker is gone.
#[derive(Clone, Debug)]
pub struct WorkerControl {
    concurrency: watch::Sender<usize>,
}

impl WorkerControl {
    pub(super) fn new(concurrency: usize) -> (Self, watch::Receiver<usize>) {
        let (concurrency, changes) = watch::channel(concurrency);
        (Self { concurrency }, changes)
    }

    /// How many jobs it may run at once from now on. What runs already goes on; with 0 it takes no more.
    pub fn set_concurrency(&self, jobs: usize) {
        self.concurrency.send_replace(jobs);
    }

    /// How many jobs it may run at once.
    pub fn concurrency(&self) -> usize {
        *self.concurrency.borrow()
    }
}
