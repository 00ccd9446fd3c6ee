//! Names of a queue's keys in Redis.

use base64::{Engine, engine::general_purpose::STANDARD};

use crate::Error;

/// Keys under `<prefix>:<queue>:`.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    base: String,
    prefix: String,
    queue: String,
}

impl Keys {
    pub(crate) fn new(prefix: &str, queue: &str) -> Result<Self, Error> {
        let rejected = |name: &str, reason| Err(Error::BadQueueName { name: name.to_owned(), reason });
        if queue.is_empty() || prefix.is_empty() {
            return rejected(queue, "name and prefix must not be empty");
        }
        if queue.contains(':') {
            return rejected(queue, "BullMQ allows no `:` in it");
        }
        Ok(Self { base: format!("{prefix}:{queue}:"), prefix: prefix.to_owned(), queue: queue.to_owned() })
    }

    pub(crate) fn queue(&self) -> &str {
        &self.queue
    }

    pub(crate) fn prefix(&self) -> &str {
        &self.prefix
    }

    /// Prefix of our workers' heartbeat keys: outside of the queue's own keys, which BullMQ may clean up, but in their slot
    /// of a cluster.
    pub(crate) fn heartbeats(&self) -> String {
        format!("alive:{}", self.base)
    }

    /// Connection name by which BullMQ's dashboards find the queue's clients.
    pub(crate) fn client_name(&self) -> String {
        format!("{}:{}", printable(&self.prefix), STANDARD.encode(&self.queue))
    }

    /// Connection name of a worker, which may have a name of its own.
    pub(crate) fn worker_client_name(&self, worker: &str) -> String {
        let client = self.client_name();
        if worker.is_empty() { client } else { format!("{client}:w:{}", printable(worker)) }
    }

    /// Returns whether all keys of the queue are in one slot of a cluster.
    pub(crate) fn has_hash_tag(&self) -> bool {
        self.hash_tag().is_some()
    }

    /// Returns the part of the queue's keys that decides about their slot in a cluster, if not each key has its own.
    pub(crate) fn hash_tag(&self) -> Option<&str> {
        Self::hash_tag_of(&self.base)
    }

    /// Returns the part of a key in braces that decides about its slot.
    pub(crate) fn hash_tag_of(key: &str) -> Option<&str> {
        let (tag, _) = key.split_once('{')?.1.split_once('}')?;
        (!tag.is_empty()).then_some(tag)
    }

    /// The key `<prefix>:<queue>:<name>`; scripts get the one of `meta` and derive the others from it.
    pub(crate) fn of(&self, name: &str) -> String {
        format!("{}{name}", self.base)
    }
}

/// Replaces characters that Redis refuses in the name of a connection.
fn printable(name: &str) -> String {
    name.chars().map(|char| if char.is_ascii_graphic() { char } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(prefix: &str, queue: &str) -> Keys {
        Keys::new(prefix, queue).expect("good names")
    }

    #[test]
    fn hash_tag_is_found_in_prefix_or_name() {
        assert!(keys("{bull}", "email").has_hash_tag());
        assert!(keys("bull", "{email}").has_hash_tag());
        assert!(!keys("bull", "email").has_hash_tag());
        assert!(!keys("bull{}", "email").has_hash_tag(), "Redis hashes the whole key");
    }

    #[test]
    fn client_name_is_the_one_of_bull_board() {
        assert_eq!(keys("bull", "email").client_name(), "bull:ZW1haWw=");
    }

    #[test]
    fn client_names_have_no_character_that_redis_refuses() {
        assert_eq!(keys("my büll\n", "email").worker_client_name("rüst 1"), "my_b_ll_:ZW1haWw=:w:r_st_1");
    }
}
