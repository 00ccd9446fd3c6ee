//! Who changes an exam.

use examhall_core::UserId;

/// Who changes an exam or its questions, and how sure they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Editor {
    /// Who.
    pub user: UserId,
    /// Whether they also change what is locked since students have begun; that is recorded.
    pub force: bool,
    /// The version that they have seen, if they say so.
    pub expected: Option<i64>,
}

impl Editor {
    /// Somebody who changes what is there, at whatever version, and forces nothing.
    pub const fn new(user: UserId) -> Self {
        Self { user, force: false, expected: None }
    }
}
