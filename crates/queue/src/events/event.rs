//! What BullMQ tells of a queue.

use std::collections::HashMap;

use serde_json::Value;

/// Something that happened to a job or to the queue. `id` is the job's.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the fields are what the variants say")]
pub enum Event {
    /// A job was added.
    Added { id: String, name: String },
    /// A job is ready; `prev` is the state it was in, if any.
    Waiting { id: String, prev: Option<String> },
    /// A job is to be run later: at `due`, in ms since 1970.
    Delayed { id: String, due: i64 },
    /// A worker has taken a job.
    Active { id: String },
    /// A handler has told how far its job is.
    Progress { id: String, progress: Value },
    /// A job is done.
    Completed { id: String, returnvalue: Value },
    /// A job has failed for good.
    Failed { id: String, reason: String },
    /// The job that failed had spent all its attempts.
    RetriesExhausted { id: String, attempts_made: u32 },
    /// A job was taken from a worker that had vanished.
    Stalled { id: String },
    /// A job was removed by hand.
    Removed { id: String },
    /// A job was added whose id is taken.
    Duplicated { id: String },
    /// A job was not added since the job `id` has the same deduplication id.
    Deduplicated { id: String, deduplication_id: String, dropped_id: String },
    /// Old jobs were removed.
    Cleaned { count: u64 },
    /// There is nothing left to be run now.
    Drained,
    /// The queue was paused.
    Paused,
    /// The queue was resumed.
    Resumed,
    /// Something that this crate has no name for.
    Other { name: String, fields: HashMap<String, String> },
}

impl Event {
    /// Reads the fields of an entry; what is missing counts as empty.
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
    fn what_others_write_is_read_or_passed_through() {
        let completed = event(&[("event", "completed"), ("jobId", "7"), ("returnvalue", "no JSON")]);
        assert_eq!(completed, Event::Completed { id: "7".into(), returnvalue: Value::Null });
        let waiting = event(&[("event", "waiting"), ("jobId", "7"), ("more", "x")]);
        assert_eq!(waiting, Event::Waiting { id: "7".into(), prev: None });
        let other = event(&[("event", "debounced"), ("jobId", "7")]);
        let fields = HashMap::from([("jobId".to_owned(), "7".to_owned())]);
        assert_eq!(other, Event::Other { name: "debounced".into(), fields });
    }
}
