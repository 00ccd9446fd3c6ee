//! States of a job.

use std::fmt;

use serde::Serialize;

/// State of a job. A job in BullMQ's `paused` list is waiting.
/// ```
/// # use examhall_queue::State;
/// assert_eq!("failed".parse(), Ok(State::Failed)); // BullMQ's words
/// assert_eq!(State::Waiting.to_string(), "waiting");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum State {
    /// Ready, without a priority.
    Waiting,
    /// Ready, with a priority.
    Prioritized,
    /// Due later.
    Delayed,
    /// Waits for its children.
    #[serde(rename = "waiting-children")]
    WaitingChildren,
    /// Run by a worker.
    Active,
    /// Done.
    Completed,
    /// Failed for good.
    Failed,
}

impl State {
    /// All states, in the order in which a job goes through them.
    pub const ALL: &'static [Self] = &[
        Self::Waiting,
        Self::Prioritized,
        Self::Delayed,
        Self::WaitingChildren,
        Self::Active,
        Self::Completed,
        Self::Failed,
    ];

    /// BullMQ's word for the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Prioritized => "prioritized",
            Self::Delayed => "delayed",
            Self::WaitingChildren => "waiting-children",
            Self::Active => "active",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }

    /// Names of the keys that hold the ids of such jobs.
    pub(crate) const fn places(self) -> &'static [&'static str] {
        match self {
            Self::Waiting => &["wait", "paused"],
            Self::Prioritized => &["prioritized"],
            Self::Delayed => &["delayed"],
            Self::WaitingChildren => &["waiting-children"],
            Self::Active => &["active"],
            Self::Completed => &["completed"],
            Self::Failed => &["failed"],
        }
    }

    /// As [`places`](Self::places), in the order in which a list of the newest first goes through them.
    pub(crate) const fn places_newest_first(self) -> &'static [&'static str] {
        match self {
            Self::Waiting => &["paused", "wait"],
            _ => self.places(),
        }
    }

    pub(crate) fn from_place(place: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|state| state.places().contains(&place))
    }
}

/// State of a job that has ended.
/// ```no_run
/// # use examhall_queue::{Error, Queue, EndedState};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let per_minute = queue.metrics(EndedState::Completed, 0, -1).await?.per_minute;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EndedState {
    /// Done.
    Completed,
    /// Failed for good.
    Failed,
}

impl EndedState {
    /// BullMQ's word for the state.
    pub const fn as_str(self) -> &'static str {
        match self {
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

/// Error for a word that names no state.
/// ```
/// # use examhall_queue::{State, UnknownState};
/// assert_eq!("asleep".parse::<State>(), Err(UnknownState));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a state is one of waiting, prioritized, delayed, waiting-children, active, completed, failed")]
pub struct UnknownState;

impl std::str::FromStr for State {
    type Err = UnknownState;

    fn from_str(word: &str) -> Result<Self, UnknownState> {
        Self::ALL.iter().copied().find(|state| state.as_str() == word).ok_or(UnknownState)
    }
}
