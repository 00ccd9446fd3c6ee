//! Users, roles and permissions.

use serde::{Deserialize, Serialize};

use crate::UserId;

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Sits exams.
    Student,
    /// Writes exams and sees their results.
    Author,
    /// Looks at mails, the queue and the cache.
    Viewer,
    /// Acts on mails, the queue and the cache.
    Operator,
    /// Runs the platform.
    Admin,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 5] = [Self::Student, Self::Author, Self::Viewer, Self::Operator, Self::Admin];

    /// The word used in tokens, tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Student => "student",
            Self::Author => "author",
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

/// The text names no role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a role: give student, author, viewer, operator or admin")]
pub struct BadRole;

impl std::str::FromStr for Role {
    type Err = BadRole;

    fn from_str(word: &str) -> Result<Self, BadRole> {
        Self::ALL.into_iter().find(|role| role.as_str() == word).ok_or(BadRole)
    }
}

/// What everybody may know of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Profile {
    /// The account.
    pub id: UserId,
    /// The name its owner gave.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = Self::MAX_NAME)))]
    pub name: String,
    /// What it may do.
    pub role: Role,
}

impl Profile {
    /// Longest name, in characters.
    pub const MAX_NAME: usize = 100;
}

/// Somebody who has logged in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewer {
    /// The account.
    pub id: UserId,
    /// What it may do.
    pub role: Role,
}
