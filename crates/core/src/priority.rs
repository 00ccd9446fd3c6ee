//! Priority of a mail.

use serde::{Deserialize, Serialize};

/// Priority from 1 to 10; 10 goes first.
///
/// BullMQ counts the other way: its 1 goes first, and 0, "no priority", before all. So a priority `p` is stored as
/// `11 - p`, and never as 0.
///
/// ```
/// use examhall_core::Priority;
///
/// assert_eq!(Priority::HIGHEST.to_bullmq(), 1);
/// assert_eq!(Priority::from_bullmq(6), Priority::DEFAULT);
/// assert_eq!(Priority::from_bullmq(0), Priority::HIGHEST); // what a Node producer adds without a priority
/// assert!(Priority::new(11).is_err());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "u8", into = "u8")]
pub struct Priority(u8);

/// The number is not between 1 and 10.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("priority must be from 1 to 10, 10 first")]
pub struct BadPriority;

impl Priority {
    /// 10: verification and reset mails.
    pub const HIGHEST: Self = Self(10);
    /// 5: the default.
    pub const DEFAULT: Self = Self(5);
    /// 3: invitations, which come in bulk and before an exam.
    pub const INVITATION: Self = Self(3);
    /// 1: bulk mails.
    pub const LOWEST: Self = Self(1);

    /// Checks the range.
    ///
    /// # Errors
    /// Returns [`BadPriority`] if `level` is not between 1 and 10.
    pub const fn new(level: u8) -> Result<Self, BadPriority> {
        if level >= 1 && level <= 10 { Ok(Self(level)) } else { Err(BadPriority) }
    }

    /// Returns the number, 1 to 10.
    pub const fn level(self) -> u8 {
        self.0
    }

    /// Returns the number that BullMQ stores, 1 to 10, 1 first.
    pub fn to_bullmq(self) -> u32 {
        u32::from(11 - self.0)
    }

    /// Returns the nearest priority to a number that BullMQ stored.
    pub fn from_bullmq(stored: u32) -> Self {
        let level = 11_u32.saturating_sub(stored).clamp(1, 10);
        Self(u8::try_from(level).unwrap_or(1))
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl TryFrom<u8> for Priority {
    type Error = BadPriority;

    fn try_from(level: u8) -> Result<Self, BadPriority> {
        Self::new(level)
    }
}

impl From<Priority> for u8 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn priorities_survive_bullmq_in_reverse_order() {
        for level in 1..=10 {
            let priority = Priority::new(level).expect("in range");
            assert_eq!(Priority::from_bullmq(priority.to_bullmq()), priority);
            assert_eq!(priority.to_bullmq(), 11 - u32::from(level));
        }
    }

    #[test]
    fn foreign_numbers_become_the_nearest_priority() {
        assert_eq!(Priority::from_bullmq(0), Priority::HIGHEST);
        assert_eq!(Priority::from_bullmq(11), Priority::LOWEST);
        assert_eq!(Priority::from_bullmq(u32::MAX), Priority::LOWEST);
    }

    #[test]
    fn numbers_out_of_range_are_rejected() {
        assert_eq!(Priority::new(0), Err(BadPriority));
        assert_eq!(Priority::new(11), Err(BadPriority));
        assert!(serde_json::from_str::<Priority>("0").is_err());
    }
}
