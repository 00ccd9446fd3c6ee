//! Names of keys in Redis.

use crate::spaces::hash_tag;

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spaces::Spaces;

    #[test]
    fn keys_of_one_value_are_in_one_slot() {
        let spaces = Spaces::new("", &["user:".to_owned()]);
        for name in ["user:1", "user:{1}", "{user:1}:x", "user:{1", "user:{1}}", "user:{{1}", "user:{1}{2}"] {
            assert_eq!(spaces.check_key(name).is_ok(), name.starts_with("user:"), "{name}");
            let keys = RedisKeys::of(name, spaces.label(name));
            let tags = keys.names.map(|key| hash_tag(&key).unwrap_or(&key).to_owned());
            assert_eq!(tags, [0; 3].map(|_| hash_tag(name).unwrap_or(name).to_owned()), "{name}");
        }
    }
}
