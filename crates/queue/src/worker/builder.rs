//! Builds a worker.

use serde::de::DeserializeOwned;

use super::{Handler, Worker, WorkerOptions};
use crate::{
    Connection, Error, Queue,
    hooks::{Hooks, WorkerEvent},
};

/// Builds a [`Worker`]: options, hooks, and the connection that blocks.
/// ```no_run
/// # use examhall_queue::{Error, Job, Queue, Worker, WorkerEvent, WorkerOptions};
/// # fn run(queue: Queue<String>) -> Result<(), Error> {
/// let worker = Worker::builder(queue)
///     .options(WorkerOptions::default().concurrency(20))
///     .on(|event| match event {
///         WorkerEvent::Failed { id, reason, retried_after: None, .. } => eprintln!("{id} failed: {reason}"),
///         WorkerEvent::Error { error, .. } => eprintln!("{error}"),
///         _ => {}
///     })
///     .build(|job: Job<String>| async move { Ok::<_, Error>(job.data.len()) })?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
#[must_use]
pub struct WorkerBuilder<T> {
    pub(super) queue: Queue<T>,
    pub(super) options: WorkerOptions,
    pub(super) hooks: Hooks,
    pub(super) blocking: Option<Connection>,
}

impl<T: DeserializeOwned + Send + 'static> WorkerBuilder<T> {
    pub(super) fn new(queue: Queue<T>) -> Self {
        Self { queue, options: WorkerOptions::default(), hooks: Hooks::default(), blocking: None }
    }

    /// Sets the options.
    pub fn options(mut self, options: WorkerOptions) -> Self {
        self.options = options;
        self
    }

    /// Adds a hook, which is called for each [`WorkerEvent`], after the hooks that were added before. It must not block:
    /// the worker waits for it.
    pub fn on(mut self, hook: impl Fn(&WorkerEvent<'_>) + Send + Sync + 'static) -> Self {
        self.hooks.add(hook);
        self
    }

    /// Counts jobs and errors for a recorder of the [`metrics`](https://docs.rs/metrics) crate that is installed:
    /// `queue_jobs_total` (labels `queue` and `outcome`: `completed`, `failed`, `retried`), `queue_stalled_jobs_total` and
    /// `queue_worker_errors_total` (label `queue`).
    #[cfg(feature = "metrics")]
    #[cfg_attr(docsrs, doc(cfg(feature = "metrics")))]
    pub fn export_metrics(self) -> Self {
        let hook = super::export::hook(self.queue.name());
        self.on(hook)
    }

    /// Sets the connection that the worker blocks on, instead of a [duplicate](Connection::duplicate) of the queue's. It
    /// must be used for nothing else, and is closed when the worker has ended.
    pub fn blocking(mut self, connection: Connection) -> Self {
        self.blocking = Some(connection);
        self
    }

    /// Builds the worker, which runs nothing until [`Worker::run`].
    ///
    /// # Errors
    /// Returns [`Error::BadOption`] if an option cannot be used.
    ///
    /// # Panics
    /// Panics outside a Tokio runtime.
    pub fn build<H: Handler<T>>(self, handler: H) -> Result<Worker<T, H>, Error> {
        Worker::from_builder(self, handler)
    }
}
