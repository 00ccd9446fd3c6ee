//! Keeps true what operators see, whatever other programs such as Bull Board do to the queue.

use std::time::Duration;

use examhall_core::EmailJob;
use examhall_delivery::{Operations, UsedTokens};
use examhall_queue::{Queue, State};
use tokio_util::sync::CancellationToken;

use crate::payload::Payload;

/// Interval at which the note about a pause is looked at.
const INTERVAL: Duration = Duration::from_secs(15);
/// Interval at which one of the mailers looks at the groups of failed mails.
const REFRESH: Duration = Duration::from_mins(5);
/// Age in ms from which a note about a pause is old if the queue is not paused: it is written before the queue is paused.
const OLD: i64 = 10_000;

/// Looks after it until `stop`.
pub(crate) async fn run(queue: Queue<Payload>, operations: Operations, stop: CancellationToken) {
    let lease = UsedTokens::new(queue.connection().clone(), EmailJob::FAILURES_KEY, REFRESH);
    let mut clock = tokio::time::interval(INTERVAL);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        let looked = async {
            forget_old_pause(&queue, &operations).await?;
            if lease.take(":refresh").await? {
                refresh_failures(&queue, &operations).await?;
            }
            anyhow::Ok(())
        };
        if let Some(Err(error)) = stop.run_until_cancelled(looked).await {
            tracing::debug!(%error, "What operators see was not brought up to date");
        }
    }
}

/// Takes mails out of the groups of failed mails that were retried or removed.
pub(crate) async fn refresh_failures(queue: &Queue<Payload>, operations: &Operations) -> anyhow::Result<()> {
    let gone = |jobs: Vec<String>| async {
        let states = queue.states(&jobs).await?;
        let gone = jobs.into_iter().zip(states).filter(|(_, state)| *state != Some(State::Failed));
        anyhow::Ok(gone.map(|(job, _)| job).collect())
    };
    operations.failures.refresh(gone).await
}

async fn forget_old_pause(queue: &Queue<Payload>, operations: &Operations) -> anyhow::Result<()> {
    if queue.is_paused().await? {
        return Ok(());
    }
    let noted = operations.pause_note.read().await?.at;
    if noted.is_some_and(|at| queue.now_ms() - at.as_millis() > OLD) {
        operations.pause_note.clear().await?;
    }
    Ok(())
}
