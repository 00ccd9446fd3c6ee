//! How the queue is, and its pause.

use std::time::Duration;

use examhall_core::{MailFacts, MailHealth, Pause, PriorityBacklog, Timestamp, UserId, mail_health};
use examhall_delivery::{Doubt, QueueFacts};
use examhall_queue::{Counts, EndedCounts, OldestWaiting};

use crate::{http::problem::Problem, state::State};

/// How the queue is.
pub(crate) struct QueueOverview {
    pub(crate) health: MailHealth,
    pub(crate) facts: MailFacts,
    pub(crate) counts: Counts,
    /// Of each priority in the queue.
    pub(crate) oldest: Vec<OldestWaiting>,
    /// Jobs that ended within the last minute.
    pub(crate) ended: EndedCounts,
    /// Mails that are held or in doubt.
    pub(crate) doubtful: u64,
}

/// Reads how the queue is.
///
/// # Errors
/// Where Redis or the database is away.
pub(crate) async fn overview(state: &State) -> Result<QueueOverview, Problem> {
    let counts = state.queue.counts().await?;
    let oldest = state.queue.oldest_waiting().await?;
    let ended = state.queue.ended_within(Duration::from_mins(1)).await?;
    let backlog = |one: &OldestWaiting| PriorityBacklog::new(one.priority, one.jobs, one.timestamp);
    let queue = QueueFacts {
        now: Timestamp::from_millis(state.queue.now_ms()),
        write_refusal: state.queue.write_refusal().await?,
        is_paused: state.queue.is_paused().await?,
        waiting: oldest.iter().map(backlog).collect(),
    };
    let outbox = state.store.outbox.backlog_by_class().await?;
    let facts = state.operations.facts(&queue, &outbox).await?;
    let mut doubtful = 0;
    for doubt in Doubt::ALL {
        doubtful += state.ledger.count_doubtful(doubt).await.unwrap_or_default(); // the rest is shown without it
    }
    Ok(QueueOverview { health: mail_health(&facts), facts, counts, oldest, ended, doubtful })
}

/// Pauses the queue, and notes by whom and why.
///
/// # Errors
/// Where Redis is away.
pub(crate) async fn pause(state: &State, by: UserId, reason: Option<String>) -> Result<(), Problem> {
    let name = state.store.accounts.get(by).await.map(|account| account.value.name).ok(); // the pause matters more
    let at = Timestamp::from_millis(state.queue.now_ms());
    state.operations.pause_note.write(&Pause { by: name, at: Some(at), reason }).await?;
    state.queue.pause().await?;
    tracing::info!("Queue paused by an operator");
    Ok(())
}

/// Resumes the queue.
///
/// # Errors
/// Where Redis is away.
pub(crate) async fn resume(state: &State) -> Result<(), Problem> {
    state.queue.resume().await?;
    state.operations.pause_note.clear().await?;
    tracing::info!("Queue resumed by an operator");
    Ok(())
}
