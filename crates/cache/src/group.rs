//! Groups: keys that are invalidated together.

/// End of the names of groups.
const END: &str = ":*";

/// A group of keys that are invalidated together, such as all of one exam. A key names its groups
/// ([`CacheKey::groups`](crate::CacheKey::groups)); a group is invalidated as a key is: by
/// [`Cache::invalidation`](crate::Cache::invalidation), [`Cache::change`](crate::Cache::change) or
/// [`Cache::delete_group`](crate::Cache::delete_group), in one step however many keys it has, and it may be in the journal.
///
/// Its name begins with a key space, as those of keys do: `exam:7`, in Redis `exam:7:*`, is not the key `exam:7`. In a Redis
/// Cluster it has the hash tag of its keys: `exam:{7}` is a group of `exam:{7}` and `exam:{7}:questions`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Group(String);

impl Group {
    /// Returns the group of this name.
    pub fn of(name: impl std::fmt::Display) -> Self {
        Self(format!("{name}{END}"))
    }

    /// Returns the name in Redis, without prefix.
    pub fn name(&self) -> &str {
        &self.0
    }
}

/// Returns whether this is the name of a group, with or without prefix.
pub(crate) fn is_group(name: &str) -> bool {
    name.ends_with(END)
}
