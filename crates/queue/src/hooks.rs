//! Hooks: callbacks that a worker calls for what it does.

use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Duration,
};

use crate::Error;

/// What a worker does, as its hooks receive it. `id`, `name` and `attempt` are the job's; `attempt` counts from 1.
/// ```
/// # use examhall_queue::WorkerEvent;
/// fn to_line(event: &WorkerEvent<'_>) -> Option<String> {
///     match event {
///         WorkerEvent::Completed { id, attempt, .. } => Some(format!("{id} completed in attempt {attempt}")),
///         WorkerEvent::Failed { id, reason, retried_after: None, .. } => Some(format!("{id} failed: {reason}")),
///         _ => None,
///     }
/// }
/// # assert_eq!(to_line(&WorkerEvent::Drained), None);
/// ```
#[derive(Debug)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants describe their fields")]
pub enum WorkerEvent<'a> {
    /// A run begins.
    #[non_exhaustive]
    Active { id: &'a str, name: &'a str, attempt: u32 },
    /// A handler has set the progress of its job, as JSON.
    #[non_exhaustive]
    Progress { id: &'a str, progress: &'a str },
    /// A job has completed, and Redis has stored that, with this value as JSON.
    #[non_exhaustive]
    Completed { id: &'a str, name: &'a str, attempt: u32, returnvalue: &'a str },
    /// A run has failed, and Redis has stored that. The job runs again after `retried_after`, or has failed for good.
    #[non_exhaustive]
    Failed { id: &'a str, name: &'a str, attempt: u32, reason: &'a str, retried_after: Option<Duration> },
    /// This worker has recovered a job whose worker had vanished.
    #[non_exhaustive]
    Stalled { id: &'a str },
    /// There was no further job to take.
    Drained,
    /// Redis was unreachable or refused; or the end of a run was not recorded, since the job was no longer this worker's
    /// (`Error::NotFound`, `LockMissing`, `LockMismatch` or `NotActive`). The worker goes on by itself.
    #[non_exhaustive]
    Error { error: &'a Error },
}

type Hook = dyn Fn(&WorkerEvent<'_>) + Send + Sync;

/// A worker's hooks. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Hooks(Vec<Arc<Hook>>);

impl Hooks {
    pub(crate) fn add(&mut self, hook: impl Fn(&WorkerEvent<'_>) + Send + Sync + 'static) {
        self.0.push(Arc::new(hook));
    }

    /// Calls each hook. One that panics ends neither the worker nor the others.
    pub(crate) fn call(&self, event: &WorkerEvent<'_>) {
        for hook in &self.0 {
            if catch_unwind(AssertUnwindSafe(|| hook(event))).is_err() {
                tracing::error!("A worker's hook panicked");
            }
        }
    }
}

impl fmt::Debug for Hooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} hooks", self.0.len())
    }
}
