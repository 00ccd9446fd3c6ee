//! Counts what a worker does, for a recorder of the `metrics` crate.

use metrics::{Counter, counter};

use crate::hooks::WorkerEvent;

/// Returns a hook that counts.
pub(super) fn hook(queue: &str) -> impl Fn(&WorkerEvent<'_>) + Send + Sync + 'static {
    let jobs = |outcome| counter!("queue_jobs_total", "queue" => queue.to_owned(), "outcome" => outcome);
    let of_queue = |name| counter!(name, "queue" => queue.to_owned());
    let (completed, failed, retried): (Counter, Counter, Counter) =
        (jobs("completed"), jobs("failed"), jobs("retried"));
    let (stalled, errors) = (of_queue("queue_stalled_jobs_total"), of_queue("queue_worker_errors_total"));
    move |event| match event {
        WorkerEvent::Completed { .. } => completed.increment(1),
        WorkerEvent::Failed { retried_after: None, .. } => failed.increment(1),
        WorkerEvent::Failed { .. } => retried.increment(1),
        WorkerEvent::Stalled { .. } => stalled.increment(1),
        WorkerEvent::Error { .. } => errors.increment(1),
        _ => {}
    }
}
