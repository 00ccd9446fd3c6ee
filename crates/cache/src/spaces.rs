//! Key spaces: the beginnings of all keys, under which Redis reports changes to every process.

use std::{collections::BTreeSet, sync::LazyLock};

use parking_lot::Mutex;

/// Beginnings of the cache's own keys: leases, marks, canaries.
pub(crate) const OWN_KEYS: [&str; 3] = ["cl:", "cm:", "cc:"];

/// A key that the cache would not keep coherent. For the developers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// It begins with none of the cache's key spaces, so other processes would not be notified of its changes.
    #[error("the key `{0}` begins with none of the cache's key spaces")]
    OutsideSpaces(String),
    /// It has a closing brace that ends no hash tag, so its lease would be in another slot of a Redis Cluster.
    #[error("the key `{0}` has a closing brace that ends no hash tag")]
    Brace(String),
    /// In a Redis Cluster it is in another slot than its group: give both the same hash tag.
    #[error("the key `{key}` is in another slot of the cluster than its group `{group}`")]
    GroupSlot {
        /// The key in Redis.
        key: String,
        /// The group in Redis.
        group: String,
    },
}

/// Key spaces to which the cache cannot listen. For the developers.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpaceError {
    /// There is none.
    #[error("a cache needs a key space")]
    None,
    /// One is empty: it would contain every key of Redis.
    #[error("a key space is empty")]
    Empty,
    /// One begins with another one, which Redis refuses.
    #[error("the key spaces `{0}` and `{1}` overlap")]
    Overlap(String, String),
    /// It contains keys of the cache's own.
    #[error("the key space `{0}` contains the cache's leases, marks or canaries")]
    Reserved(String),
}

/// The key spaces of a cache, with its prefix.
#[derive(Debug)]
pub(crate) struct Spaces(Vec<Space>);

#[derive(Debug)]
struct Space {
    beginning: String,
    label: &'static str,
}

impl Spaces {
    pub(crate) fn new(prefix: &str, spaces: &[String]) -> Self {
        let space = |space: &String| Space {
            beginning: format!("{prefix}{space}"),
            label: interned(space.trim_end_matches(':')),
        };
        Self(spaces.iter().map(space).collect())
    }

    /// Checks that Redis can report changes under these spaces.
    pub(crate) fn check(&self) -> Result<(), SpaceError> {
        if self.0.is_empty() {
            return Err(SpaceError::None);
        }
        for (n, Space { beginning, .. }) in self.0.iter().enumerate() {
            if beginning.is_empty() {
                return Err(SpaceError::Empty);
            }
            if OWN_KEYS.iter().any(|own| overlap(own, beginning)) {
                return Err(SpaceError::Reserved(beginning.clone()));
            }
            if let Some(other) = self.0[..n].iter().find(|other| overlap(&other.beginning, beginning)) {
                return Err(SpaceError::Overlap(other.beginning.clone(), beginning.clone()));
            }
        }
        Ok(())
    }

    /// Checks that changes of a key are reported to every process.
    pub(crate) fn check_key(&self, name: &str) -> Result<(), KeyError> {
        if self.of(name).is_none() {
            return Err(KeyError::OutsideSpaces(name.to_owned()));
        }
        if name.contains('}') && hash_tag(name).is_none() {
            return Err(KeyError::Brace(name.to_owned()));
        }
        Ok(())
    }

    /// Returns the beginnings of all keys.
    pub(crate) fn beginnings(&self) -> Vec<String> {
        self.0.iter().map(|space| space.beginning.clone()).collect()
    }

    /// Returns the kind of a key, as the label `ns` of metrics: its space without prefix and colon.
    pub(crate) fn label(&self, name: &str) -> &'static str {
        self.of(name).map_or("other", |space| space.label)
    }

    fn of(&self, name: &str) -> Option<&Space> {
        self.0.iter().find(|space| name.starts_with(&space.beginning))
    }
}

/// Returns the part of a key that determines its slot, if it is not all of it (Redis Cluster specification, "Hash tags").
pub(crate) fn hash_tag(name: &str) -> Option<&str> {
    let (_, behind) = name.split_once('{')?;
    let (tag, _) = behind.split_once('}')?;
    Some(tag).filter(|tag| !tag.is_empty())
}

fn overlap(one: &str, other: &str) -> bool {
    one.starts_with(other) || other.starts_with(one)
}

/// Returns a label for metrics that lives as long as the program. A program has few, however many caches it opens.
fn interned(label: &str) -> &'static str {
    static LABELS: LazyLock<Mutex<BTreeSet<&'static str>>> = LazyLock::new(Mutex::default);
    let mut labels = LABELS.lock();
    if let Some(known) = labels.get(label) {
        return known;
    }
    let label: &'static str = Box::leak(label.into());
    labels.insert(label);
    label
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spaces(prefix: &str, spaces: &[&str]) -> Spaces {
        Spaces::new(prefix, &spaces.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn spaces_that_redis_cannot_report_are_refused() {
        let check = |prefix, of: &[&str]| spaces(prefix, of).check();
        let overlap = |one: &str, other: &str| Err(SpaceError::Overlap(one.into(), other.into()));
        assert_eq!(check("", &["user:", "order:", "orders:"]), Ok(()));
        assert_eq!(check("c", &["user:"]), Ok(()));
        assert_eq!(check("shop:", &["cl:", ""]), overlap("shop:cl:", "shop:"));
        assert_eq!(check("shop:", &[""]), Ok(()), "all keys of the prefix");
        assert_eq!(check("", &[]), Err(SpaceError::None));
        assert_eq!(check("", &[""]), Err(SpaceError::Empty));
        assert_eq!(check("", &["user:", "user:"]), overlap("user:", "user:"));
        assert_eq!(check("", &["user:a:", "order:", "user:"]), overlap("user:a:", "user:"));
        assert_eq!(check("", &["user:", "user:a:"]), overlap("user:", "user:a:"));
        for reserved in ["c", "cl:", "cm:x", "cc:"] {
            assert_eq!(check("", &[reserved]), Err(SpaceError::Reserved(reserved.into())));
        }
    }

    #[test]
    fn keys_that_would_not_be_coherent_are_refused() {
        let spaces = spaces("shop:", &["user:", "order:"]);
        for good in ["shop:user:1", "shop:order:", "shop:user:{1}", "shop:user:{1}}", "shop:user:{1", "shop:user:{{1}"]
        {
            assert_eq!(spaces.check_key(good), Ok(()), "{good}");
        }
        for outside in ["", "user:1", "shop:users:1", "shop:use", "x:shop:user:1"] {
            assert_eq!(spaces.check_key(outside), Err(KeyError::OutsideSpaces(outside.into())));
        }
        for brace in ["shop:user:1}", "shop:user:{}1", "shop:user:}{1"] {
            assert_eq!(spaces.check_key(brace), Err(KeyError::Brace(brace.into())));
        }
        assert_eq!((spaces.label("shop:order:7"), spaces.label("order:7")), ("order", "other"));
    }
}
