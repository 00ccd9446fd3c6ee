//! Events of a queue, as BullMQ writes them.

use std::collections::HashMap;

use serde_json::Value;

/// Event of a job or of the queue. `id` is the job's.
/// ```no_run
/// # use examhall_queue::{Error, Queue, Event, Position};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let mut events = queue.events(Position::Now).await?;
/// if let (_, Event::Completed { id, returnvalue }) = events.next().await {
///     println!("{id}: {returnvalue}");
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants describe their fields")]
pub enum Event {
    /// A job was added.
    Added { id: String, name: String },
    /// A job is ready; `prev` is its previous state, if any.
    Waiting { id: String, prev: Option<String> },
    /// A job is delayed until `due`, in ms since 1970.
    Delayed { id: String, due: i64 },
    /// A worker has taken a job.
    Active { id: String },
    /// A handler has set the progress of its job.
    Progress { id: String, progress: Value },
    /// A job has completed.
    Completed { id: String, returnvalue: Value },
    /// A job has failed for good.
    Failed { id: String, reason: String },
    /// A job has failed that had used all its attempts.
    RetriesExhausted { id: String, attempts_made: u32 },
    /// A job was taken from a worker that had vanished.
    Stalled { id: String },
    /// A job was removed by hand.
    Removed { id: String },
    /// A job was added whose id exists already.
    Duplicated { id: String },
    /// A job was not added because the job `id` has the same deduplication id.
    Deduplicated { id: String, deduplication_id: String, dropped_id: String },
    /// Old jobs were removed.
    Cleaned { count: u64 },
    /// No job is ready or active.
    Drained,
    /// The queue was paused.
    Paused,
    /// The queue was resumed.
    Resumed,
    /// An event that this crate has no variant for.
    Other { name: String, fields: HashMap<String, String> },
}

impl Event {
    /// Reads the fields of an entry; missing fields count as empty.
    pub(super) fn from_fields(mut fields: HashMap<String, String>) -> Self {
        let name = fields.remove("event").unwrap_or_default();
        let mut text = |field: &str| fields.remove(field).unwrap_or_default();
        let json = |text: String| serde_json::from_str(&text).unwrap_or(Value::Null);
        match name.as_str() {
            "added" => Self::Added { id: text("jobId"), name: text("name") },
            "waiting" => Self::Waiting { id: text("jobId"), prev: Some(text("prev")).filter(|prev| !prev.is_empty()) },
            "delayed" => Self::Delayed { id: text("jobId"), due: text("delay").parse().unwrap_or_default() },
            "active" => Self::Active { id: text("jobId") },
            "progress" => Self::Progress { id: text("jobId"), progress: json(text("data")) },
            "completed" => Self::Completed { id: text("jobId"), returnvalue: json(text("returnvalue")) },
            "failed" => Self::Failed { id: text("jobId"), reason: text("failedReason") },
            "retries-exhausted" => Self::RetriesExhausted {
                id: text("jobId"),
                attempts_made: text("attemptsMade").parse().unwrap_or_default(),
            },
            "stalled" => Self::Stalled { id: text("jobId") },
            "removed" => Self::Removed { id: text("jobId") },
            "duplicated" => Self::Duplicated { id: text("jobId") },
            "deduplicated" => Self::Deduplicated {
                id: text("jobId"),
                deduplication_id: text("deduplicationId"),
                dropped_id: text("deduplicatedJobId"),
            },
            "cleaned" => Self::Cleaned { count: text("count").parse().unwrap_or_default() },
            "drained" => Self::Drained,
            "paused" => Self::Paused,
            "resumed" => Self::Resumed,
            _ => Self::Other { name, fields },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(fields: &[(&str, &str)]) -> Event {
        Event::from_fields(fields.iter().map(|(field, value)| ((*field).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn events_of_other_clients_are_read_or_passed_through() {
        let completed = event(&[("event", "completed"), ("jobId", "7"), ("returnvalue", "no JSON")]);
        assert_eq!(completed, Event::Completed { id: "7".into(), returnvalue: Value::Null });
        let waiting = event(&[("event", "waiting"), ("jobId", "7"), ("more", "x")]);
        assert_eq!(waiting, Event::Waiting { id: "7".into(), prev: None });
        let other = event(&[("event", "debounced"), ("jobId", "7")]);
        let fields = HashMap::from([("jobId".to_owned(), "7".to_owned())]);
        assert_eq!(other, Event::Other { name: "debounced".into(), fields });
    }
}
