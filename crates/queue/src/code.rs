//! Result codes of the scripts.

use crate::Error;

/// How a script ended, as `lua/codes.lua` numbers it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Code {
    Done = 0,
    /// Done in part: there is more for another run.
    More = 1,
    /// There is no such job.
    NotFound = -1,
    LockMissing = -2,
    /// The job is not in the state that the script needs.
    WrongState = -3,
    /// The job waits for its children.
    PendingChildren = -4,
    /// There is no such parent.
    ParentMissing = -5,
    /// Another worker has the lock.
    LockMismatch = -6,
    /// The job is a child of another parent.
    OtherParent = -7,
    /// The job is the one to come of a scheduler.
    Foreign = -8,
    /// Children of the job have failed, and it fails with them.
    FailedChildren = -9,
    /// The id of a scheduler's next job is in use.
    Taken = -10,
    NotPaused = -20,
    /// Workers have jobs of the queue.
    NotIdle = -21,
    /// A key of the queue has another type than BullMQ's.
    BadKey = -22,
}

impl Code {
    const ALL: [Self; 15] = [
        Self::Done,
        Self::More,
        Self::NotFound,
        Self::LockMissing,
        Self::WrongState,
        Self::PendingChildren,
        Self::ParentMissing,
        Self::LockMismatch,
        Self::OtherParent,
        Self::Foreign,
        Self::FailedChildren,
        Self::Taken,
        Self::NotPaused,
        Self::NotIdle,
        Self::BadKey,
    ];
}

impl Code {
    /// Returns what the end of a run's work on a job with this id means to its caller.
    pub(crate) fn to_result(self, id: &str) -> Result<(), Error> {
        let id = id.to_owned();
        match self {
            Self::Done => Ok(()),
            Self::NotFound => Err(Error::NotFound(id)),
            Self::LockMissing => Err(Error::LockMissing(id)),
            Self::WrongState => Err(Error::NotActive(id)),
            Self::PendingChildren => Err(Error::PendingChildren(id)),
            Self::LockMismatch => Err(Error::LockMismatch(id)),
            Self::FailedChildren => Err(Error::FailedChildren(id)),
            Self::BadKey => Err(Error::BadKey(id)),
            _ => Err(Error::UnexpectedAnswer("a code that no end of a run has")),
        }
    }
}

impl TryFrom<i64> for Code {
    type Error = Error;

    fn try_from(number: i64) -> Result<Self, Error> {
        Self::ALL.into_iter().find(|code| *code as i64 == number).ok_or(Error::UnexpectedAnswer("an unknown code"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lua_has_the_same_codes() {
        let line = |code: Code| {
            let name = format!("{code:?}").chars().fold(String::new(), |name, letter| {
                let word = if letter.is_uppercase() && !name.is_empty() { "_" } else { "" };
                name + word + &letter.to_uppercase().to_string()
            });
            format!("local {name} = {}\n", code as i64)
        };
        let lua = include_str!("lua/codes.lua").split_once('\n').map(|(_comment, codes)| codes.trim_end());
        assert_eq!(lua, Some(Code::ALL.map(line).concat().trim_end()));
    }

    #[test]
    fn unknown_codes_are_errors() {
        assert_eq!(Code::try_from(-3).ok(), Some(Code::WrongState));
        assert!(Code::try_from(-12).is_err());
    }
}
