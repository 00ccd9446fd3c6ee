//! The names of a queue's keys in Redis.

use base64::{Engine, engine::general_purpose::STANDARD};

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
    prefix: String,
    queue: String,
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
        Ok(Self { base: format!("{prefix}:{queue}:"), prefix: prefix.to_owned(), queue: queue.to_owned() })
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Where workers of ours show that they are alive: outside of the queue's own keys, which BullMQ may clean up, and
    /// with them on one server.
    pub(crate) fn signs_of_life(&self) -> String {
        format!("alive:{}", self.base)
    }

    /// What BullMQ's dashboards know connections of the queue's clients by.
    pub(crate) fn client_name(&self) -> String {
        format!("{}:{}", self.prefix, STANDARD.encode(&self.queue))
    }

    /// Whether all keys of the queue lie on one server of a cluster.
    pub(crate) fn has_hash_tag(&self) -> bool {
        let tag = self.base.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
        tag.is_some_and(|(tag, _)| !tag.is_empty())
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

/// Refuses what would not be stored as BullMQ stores it.
pub(crate) fn check_deduplication_id(id: &str) -> Result<(), Error> {
    if id.is_empty() { Err(Error::BadDeduplicationId) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(prefix: &str, queue: &str) -> Keys {
        Keys::new(prefix, queue).expect("good names")
    }

    #[test]
    fn a_hash_tag_in_the_prefix_or_the_name_keeps_the_keys_together() {
        assert!(keys("{bull}", "email").has_hash_tag());
        assert!(keys("bull", "{email}").has_hash_tag());
        assert!(!keys("bull", "email").has_hash_tag());
        assert!(!keys("bull{}", "email").has_hash_tag(), "Redis hashes the whole key then");
    }

    #[test]
    fn clients_are_named_as_bull_board_looks_for_them() {
        assert_eq!(keys("bull", "email").client_name(), "bull:ZW1haWw=");
    }
}
