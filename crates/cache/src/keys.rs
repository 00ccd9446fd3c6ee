//! Names of keys in Redis.

/// Beginnings of the cache's own keys: leases, marks, canaries.
pub(crate) const OWN_KEYS: [&str; 3] = ["cl:", "cm:", "cc:"];

/// The three Redis keys of one cache key: value, lease, marks. All are in one slot of a cluster.
#[derive(Clone)]
pub(crate) struct RedisKeys {
    pub(crate) names: [String; 3],
    /// The kind of key, as the label `ns` of metrics.
    pub(crate) space: &'static str,
}

impl RedisKeys {
    pub(crate) fn of(name: &str, space: &'static str) -> Self {
        let names = if hash_tag(name).is_some() {
            [name.to_owned(), format!("cl:{name}"), format!("cm:{name}")]
        } else {
            [name.to_owned(), format!("cl:{{{name}}}"), format!("cm:{{{name}}}")]
        };
        Self { names, space }
    }
}

/// Returns the part of a key that determines its slot, if it is not all of it (Redis Cluster specification, "Hash tags").
pub(crate) fn hash_tag(name: &str) -> Option<&str> {
    let (_, behind) = name.split_once('{')?;
    let (tag, _) = behind.split_once('}')?;
    Some(tag).filter(|tag| !tag.is_empty())
}
