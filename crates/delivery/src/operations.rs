//! What operators see of the mail service, under the keys that all processes share.

use std::time::Duration;

use examhall_core::{EmailJob, MailFacts, OutboxBacklog, PriorityBacklog, RecentMails, Timestamp, backlog_by_class};
use examhall_redis::Connection;

use crate::{Error, Failures, Fleet, MailHistory, PauseNote};

/// Minutes whose outcomes count as recent.
const RECENT: u32 = 10;

/// Heartbeats, counts, groups of failed mails, and the note about a pause. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Operations {
    /// The mailers.
    pub fleet: Fleet,
    /// Counts by minute and hour.
    pub history: MailHistory,
    /// Failed mails.
    pub failures: Failures,
    /// Who paused the queue.
    pub pause_note: PauseNote,
}

/// What the queue knows of waiting mails.
#[derive(Clone, Debug)]
pub struct QueueFacts {
    /// Redis's time.
    pub now: Timestamp,
    /// Code with which Redis refuses writes, if it does.
    pub write_refusal: Option<String>,
    /// Whether it is paused.
    pub is_paused: bool,
    /// Waiting jobs.
    pub waiting: Vec<PriorityBacklog>,
}

impl Operations {
    /// Those of all mailers that use this Redis.
    pub fn new(connection: &Connection) -> Self {
        let connection = || connection.clone();
        Self {
            fleet: Fleet::new(connection(), EmailJob::FLEET_KEY),
            history: MailHistory::new(connection(), EmailJob::HISTORY_KEY),
            failures: Failures::new(connection(), EmailJob::FAILURES_KEY, EmailJob::KEEP_FAILED),
            pause_note: PauseNote::new(connection(), EmailJob::PAUSE_KEY),
        }
    }

    /// Reads what the answer to "Is my e-mail going out?" follows from.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn facts(&self, queue: &QueueFacts, outbox: &[OutboxBacklog]) -> Result<MailFacts, Error> {
        let pause = if queue.is_paused { Some(self.pause_note.read().await?) } else { None };
        let recent = self.history.recent(RECENT, queue.now).await?;
        let since = queue.now.minus(Duration::from_mins(u64::from(RECENT)));
        let last = self.failures.groups(0, 1).await?.pop().filter(|group| group.last_at >= since);
        Ok(MailFacts {
            now: queue.now,
            write_refusal: queue.write_refusal.clone(),
            pause,
            mailers: self.fleet.mailers().await?,
            waiting: backlog_by_class(&queue.waiting, outbox),
            recent: RecentMails {
                sent: recent.sent,
                failed: recent.failed,
                last_failure: last.map(|group| group.signature.to_string()),
            },
        })
    }
}
