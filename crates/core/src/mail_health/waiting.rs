//! Waiting mails by class, against the time that each class may wait.

use serde::Serialize;

use super::words::ago;
use crate::{MailClass, Priority, Timestamp};

/// Class of waiting mails. The queue knows a mail's priority, so verification and reset mails are one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum WaitingClass {
    /// Verification and reset: somebody waits for them.
    Urgent,
    /// Results.
    Result,
    /// All others; invitations are among them.
    Other,
}

/// Waiting mails of one class, in the outbox and in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClassBacklog {
    /// The class.
    pub class: WaitingClass,
    /// Mails in the queue that are due.
    pub queued: u64,
    /// Since when the oldest of these waits.
    pub queued_since: Option<Timestamp>,
    /// Mails that are committed and not in the queue yet.
    pub outbox: u64,
    /// Since when the oldest of these waits.
    pub outbox_since: Option<Timestamp>,
}

/// Waiting jobs of one priority in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriorityBacklog {
    /// BullMQ's priority; 0 is none.
    pub priority: u32,
    /// Number of jobs.
    pub jobs: u64,
    /// When the oldest of them was added.
    pub oldest: Option<Timestamp>,
}

/// Mails of one class in the outbox that are not in the queue yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutboxBacklog {
    /// The class.
    pub class: MailClass,
    /// Number of mails.
    pub mails: u64,
    /// When the oldest of them was committed.
    pub oldest: Option<Timestamp>,
}

impl PriorityBacklog {
    /// Waiting jobs, of which the oldest was added at `oldest` ms since 1970. Any program may have added it: a moment that no
    /// clock has shown makes nothing late.
    pub fn new(priority: u32, jobs: u64, oldest: i64) -> Self {
        Self { priority, jobs, oldest: Timestamp::foreign(oldest) }
    }
}

impl WaitingClass {
    /// All classes, the most urgent first.
    pub const ALL: [Self; 3] = [Self::Urgent, Self::Result, Self::Other];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Urgent => "urgent",
            Self::Result => "result",
            Self::Other => "other",
        }
    }

    /// Time that a mail of the class may wait, in seconds: the alerts fire after it.
    pub const fn target_seconds(self) -> u32 {
        match self {
            Self::Urgent => 60,
            Self::Result | Self::Other => 15 * 60,
        }
    }

    /// The class by BullMQ's priority; 0 is none.
    pub fn of_priority(priority: u32) -> Self {
        match Priority::from_bullmq(priority) {
            _ if priority == 0 => Self::Other,
            Priority::HIGHEST => Self::Urgent,
            Priority::DEFAULT | Priority::LOWEST => Self::Result,
            _ => Self::Other,
        }
    }
}

impl From<MailClass> for WaitingClass {
    fn from(class: MailClass) -> Self {
        match class {
            MailClass::Verification | MailClass::Reset => Self::Urgent,
            MailClass::Result => Self::Result,
            MailClass::Invitation | MailClass::Other => Self::Other,
        }
    }
}

impl ClassBacklog {
    /// Number of mails, wherever they wait.
    pub fn mails(&self) -> u64 {
        self.queued + self.outbox
    }

    /// Since when the oldest mail waits, wherever it is.
    pub fn since(&self) -> Option<Timestamp> {
        [self.queued_since, self.outbox_since].into_iter().flatten().min()
    }

    /// How long the oldest mail has waited, in ms.
    pub fn waits(&self, now: Timestamp) -> Option<i64> {
        self.since().map(|since| ago(since, now))
    }

    /// Returns whether the oldest mail has waited longer than it may.
    pub fn is_late(&self, now: Timestamp) -> bool {
        self.waits(now).is_some_and(|waits| waits > i64::from(self.class.target_seconds()) * 1000)
    }
}

/// Sums up what waits, by class, the most urgent first.
pub fn backlog_by_class(queue: &[PriorityBacklog], outbox: &[OutboxBacklog]) -> Vec<ClassBacklog> {
    let of = |class| {
        let queued = || queue.iter().filter(move |one| WaitingClass::of_priority(one.priority) == class);
        let committed = || outbox.iter().filter(move |one| WaitingClass::from(one.class) == class);
        ClassBacklog {
            class,
            queued: queued().map(|one| one.jobs).sum(),
            queued_since: queued().filter_map(|one| one.oldest).min(),
            outbox: committed().map(|one| one.mails).sum(),
            outbox_since: committed().filter_map(|one| one.oldest).min(),
        }
    };
    WaitingClass::ALL.map(of).to_vec()
}
