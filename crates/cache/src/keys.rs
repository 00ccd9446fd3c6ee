//! Names of keys in Redis.

use std::sync::Arc;

use crate::spaces::hash_tag;

/// A key by its name in Redis, with the names of its groups.
#[derive(Clone, Debug)]
pub(crate) struct KeyNames {
    pub(crate) name: Arc<str>,
    pub(crate) groups: Arc<[String]>,
}

impl KeyNames {
    /// Returns the names of all.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&*self.name).chain(self.groups.iter().map(String::as_str))
    }
}

/// The Redis keys of one cache key: value, lease, marks, and those of its groups. All are in one slot of a cluster.
#[derive(Clone)]
pub(crate) struct RedisKeys {
    pub(crate) names: [String; 3],
    /// Generation and marks of each group.
    groups: Vec<[String; 2]>,
    /// The kind of key, as the label `ns` of metrics.
    pub(crate) space: &'static str,
}

impl RedisKeys {
    pub(crate) fn of(name: &str, groups: &[String], space: &'static str) -> Self {
        let groups = groups.iter().map(|group| [group.clone(), in_slot_of("cm:", group)]).collect();
        Self { names: [name.to_owned(), in_slot_of("cl:", name), in_slot_of("cm:", name)], groups, space }
    }

    /// Returns the names of all, in the order in which the scripts take them.
    pub(crate) fn all(&self) -> impl Iterator<Item = &str> {
        self.names.iter().chain(self.groups.as_flattened()).map(String::as_str)
    }

    /// Returns the names of its groups' generations.
    pub(crate) fn generations(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|[generation, _]| generation.as_str())
    }

    /// Returns how many there are.
    pub(crate) fn count(&self) -> usize {
        self.names.len() + self.groups.as_flattened().len()
    }
}

/// Returns the name of a key of the cache's own in the slot of this one.
fn in_slot_of(own: &str, name: &str) -> String {
    if hash_tag(name).is_some() { format!("{own}{name}") } else { format!("{own}{{{name}}}") }
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
            let keys = RedisKeys::of(name, &[], spaces.label(name));
            let tags = keys.names.map(|key| hash_tag(&key).unwrap_or(&key).to_owned());
            assert_eq!(tags, [0; 3].map(|_| hash_tag(name).unwrap_or(name).to_owned()), "{name}");
        }
    }
}
