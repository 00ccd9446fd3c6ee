//! Which server of a cluster gets a command.

use fred::types::ClusterHash;

/// Which server of a cluster gets a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route<'a> {
    /// The one that has this key.
    Key(&'a str),
    /// Any.
    Any,
}

/// Returns the slot of a cluster that a key is in: what has several keys must have them in one slot.
pub fn slot(key: &str) -> u16 {
    fred::util::redis_keyslot(key.as_bytes())
}

impl Route<'_> {
    /// fred heeds no other way to route a command that it has no method for.
    pub(crate) fn hash(self) -> ClusterHash {
        match self {
            Self::Key(key) => ClusterHash::Custom(slot(key)),
            Self::Any => ClusterHash::Random,
        }
    }
}
