//! The states of a job.

use std::fmt;

/// Where a job is. A job in BullMQ's `paused` list is waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Ready, without a priority.
    Waiting,
    /// Ready, with a priority.
    Prioritized,
    /// To be run later.
    Delayed,
    /// In the hands of a worker.
    Active,
    /// Done.
    Completed,
    /// Failed for good.
    Failed,
}

impl State {
    /// BullMQ's word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Prioritized => "prioritized",
            Self::Delayed => "delayed",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
