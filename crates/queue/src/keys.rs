//! The names of a queue's keys in Redis.

use crate::Error;

/// Sub-keys of a queue. A job with such an id would overwrite one of them, or be swallowed by it.
const SUB_KEYS: &[&str] = &[
    "wait",
    "paused",
    "active",
    "prioritized",
    "pc",
    "delayed",
    "completed",
    "failed",
    "waiting-children",
    "marker",
    "id",
    "meta",
    "events",
    "stalled",
    "stalled-check",
    "limiter",
    "repeat",
];

/// `<prefix>:<queue>:` and what stands under it.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    base: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str, queue: &str) -> Result<Self, Error> {
        let refused = |name: &str, reason| Err(Error::BadQueueName { name: name.to_owned(), reason });
        if queue.is_empty() || prefix.is_empty() {
            return refused(queue, "name and prefix must not be empty");
        }
        if queue.contains(':') {
            return refused(queue, "BullMQ allows no `:` in it");
        }
        Ok(Self { base: format!("{prefix}:{queue}:") })
    }

    /// What stands under `<prefix>:<queue>:`; every script is given this of `meta` and makes the others from it.
    pub(crate) fn of(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }
}

/// Refuses ids that BullMQ's readers would misread.
pub(crate) fn check_job_id(id: &str) -> Result<(), Error> {
    let reason = if id.is_empty() {
        "it is empty"
    } else if id.bytes().all(|byte| byte.is_ascii_digit()) {
        "numbers are for jobs that are given none"
    } else if id.contains(':') {
        "`:` separates the parts of a key"
    } else if SUB_KEYS.contains(&id) {
        "the queue has a key of that name"
    } else {
        return Ok(());
    };
    Err(Error::BadJobId { id: id.to_owned(), reason })
}
