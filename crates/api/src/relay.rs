//! The relay: takes committed mails from the outbox to the queue.
//!
//! A mail may be taken twice, by a relay that died between adding its job and noting it: its job's id is made of the
//! row's, so the second time adds nothing.

use std::{sync::Arc, time::Duration};

use examhall_boot::liveness::Pulse;
use examhall_core::{EmailJob, RetryPolicy};
use examhall_queue::{JobOptions, NewJob, Retention};
use examhall_store::WaitingMail;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    mail::Delivery,
    state::{State, now},
};

/// Mails taken at a time.
const BATCH: u64 = 100;
/// How long a mail is this relay's; from then on another one takes it.
pub(crate) const HOLD: Duration = Duration::from_secs(30);
/// How often it looks where nobody wakes it.
const POLL: Duration = Duration::from_secs(1);

/// Takes mails to the queue until `stop`.
pub(crate) async fn run(state: Arc<State>, pulse: Pulse, stop: CancellationToken) {
    while !stop.is_cancelled() {
        pulse.beat();
        match relay_batch(&state).await {
            Ok(relayed) if relayed == BATCH => continue,
            Ok(_) => {}
            Err(error) => tracing::warn!(%error, "Mails stay in the outbox for now"),
        }
        tokio::select! {
            () = state.nudge.notified() => {}
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => {}
        }
    }
    // The mails of the last requests; what cannot be queued now, another process takes.
    if let Err(error) = relay_batch(&state).await {
        tracing::warn!(%error, "Mails stay in the outbox for now");
    }
}

/// Takes one batch; gives how many mails it took from the outbox.
async fn relay_batch(state: &State) -> anyhow::Result<u64> {
    // Asked first, so that mails are not held by a relay that can do nothing with them.
    if state.queue.connection().ping().await.is_err() {
        return Ok(0);
    }
    let waiting = state.store.outbox.claim(BATCH, HOLD, now()).await?;
    queue(state, &waiting).await?;
    Ok(waiting.len() as u64)
}

/// Takes mails that are this process's to the queue; where that fails, lets go of them.
pub(crate) async fn queue(state: &State, claimed: &[WaitingMail]) -> anyhow::Result<()> {
    let jobs: Vec<_> = claimed.iter().filter_map(|waiting| to_job(state, waiting)).collect();
    if let Err(error) = state.queue.add_all(&jobs).await {
        let ids: Vec<Uuid> = claimed.iter().map(|waiting| waiting.mail.id).collect();
        state.store.outbox.release(&ids).await?;
        return Err(error.into());
    }
    let queued: Vec<Uuid> = jobs.iter().filter_map(|job| row_of(job.options.job_id.as_deref()?)).collect();
    if !queued.is_empty() {
        state.store.outbox.mark_queued(&queued, now()).await?;
        tracing::info!(mails = queued.len(), "Mails queued");
    }
    Ok(())
}

fn to_job(state: &State, waiting: &WaitingMail) -> Option<NewJob<EmailJob>> {
    let mail = &waiting.mail;
    let (data, delivery) = state
        .mailroom
        .compose(waiting)
        .inspect_err(|error| tracing::error!(mail_id = %mail.id, %error, "A mail cannot be composed"))
        .ok()?;
    let Delivery { attempts, not_before } = delivery;
    let wait = not_before.map_or(0, |at| at.as_millis() - now().as_millis());
    let options = JobOptions {
        job_id: Some(format!("m-{}", mail.id)),
        priority: mail.priority.to_bullmq(),
        delay: Duration::from_millis(u64::try_from(wait).unwrap_or(0)),
        retry: RetryPolicy { attempts: attempts.unwrap_or(EmailJob::RETRY.attempts), ..EmailJob::RETRY },
        remove_on_complete: Some(Retention::For { age: EmailJob::KEEP_COMPLETED, count: None }),
        remove_on_fail: Some(Retention::For { age: EmailJob::KEEP_FAILED, count: None }),
        ..JobOptions::default()
    };
    Some(NewJob { name: EmailJob::NAME.to_owned(), data, options })
}

/// The outbox row of a job of ours.
pub(crate) fn row_of(job_id: &str) -> Option<Uuid> {
    job_id.strip_prefix("m-")?.parse().ok()
}
