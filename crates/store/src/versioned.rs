//! Optimistic locking: a value and the version of its row.

/// A value with the version of the row it was read from.
#[derive(Clone, Debug, PartialEq)]
pub struct Versioned<T> {
    /// Increases by one with every change.
    pub version: i64,
    /// What was read.
    pub value: T,
}
