//! A change of something that may be absent.

use serde::{Deserialize, Deserializer};

/// What a change says of a field that may be absent. In JSON: the field is not there, is `null`, or has a value.
///
/// ```
/// use examhall_core::Patch;
///
/// assert_eq!(Patch::Keep.applied_to(Some(1)), Some(1));
/// assert_eq!(Patch::Clear.applied_to(Some(1)), None);
/// assert_eq!(Patch::Set(2).applied_to(Some(1)), Some(2));
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Patch<T> {
    /// It stays as it is.
    #[default]
    Keep,
    /// It is removed.
    Clear,
    /// It becomes this.
    Set(T),
}

impl<T> Patch<T> {
    /// What the field is after the change.
    pub fn applied_to(self, current: Option<T>) -> Option<T> {
        match self {
            Self::Keep => current,
            Self::Clear => None,
            Self::Set(value) => Some(value),
        }
    }
}

/// For a field with `#[serde(default)]`: what is not there is not asked.
impl<'de, T: Deserialize<'de>> Deserialize<'de> for Patch<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}
