//! The relay: takes committed mails from the outbox to the queue.
//!
//! A mail may be taken twice, by a relay that died between adding its job and noting it: its job's id is made of the
//! row's, so the second time adds nothing. Where the job has ended and is gone by then, the ledger still knows.

use std::{sync::Arc, time::Duration};

use examhall_boot::{
    liveness::Pulse,
    traces::{Parent, Span, SpanKind},
};
use examhall_core::{EmailJob, RetryPolicy};
use examhall_queue::{Effect, JobOptions, NewJob, Retention};
use examhall_store::{MailOutcome, WaitingMail};
use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    mail::{CannotCompose, Delivery},
    state::{State, now},
};

/// Mails taken at a time.
const BATCH: u64 = 100;
/// How long a mail is this relay's; from then on another one takes it.
pub(crate) const HOLD: Duration = Duration::from_secs(30);
/// How long a mail that cannot be composed and does not expire waits for somebody to mend that.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
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
    let queued = match add(state, claimed).await {
        Ok(queued) => queued,
        Err(error) => {
            let ids: Vec<Uuid> = claimed.iter().map(|waiting| waiting.mail.id).collect();
            state.store.outbox.release(&ids).await?;
            return Err(error);
        }
    };
    if !queued.is_empty() {
        state.store.outbox.mark_queued(&queued, now()).await?;
        tracing::info!(mails = queued.len(), "Mails queued");
    }
    Ok(())
}

/// Adds the jobs of mails of which nobody knows yet what became of them; gives which mails these are.
async fn add(state: &State, claimed: &[WaitingMail]) -> anyhow::Result<Vec<Uuid>> {
    let known = try_join_all(claimed.iter().map(|waiting| known(state, waiting.mail.id))).await?;
    for outcome in [MailOutcome::Sent, MailOutcome::Failed] {
        let both = claimed.iter().zip(&known);
        let ended: Vec<Uuid> =
            both.filter(|(_, known)| **known == Some(outcome)).map(|(waiting, _)| waiting.mail.id).collect();
        if !ended.is_empty() {
            tracing::info!(mails = ended.len(), ?outcome, "Mails had been through the queue before");
        }
        state.store.outbox.close(&ended, outcome, now()).await?;
    }
    let open = claimed.iter().zip(&known).filter(|(_, known)| known.is_none());
    let mut composed = Vec::new();
    for (waiting, _) in open {
        match to_job(state, waiting) {
            Ok(job) => composed.push(job),
            Err(error) => not_composed(state, waiting, &error).await?,
        }
    }
    let (jobs, _sending): (Vec<_>, Vec<_>) = composed.into_iter().unzip();
    state.queue.add_all(&jobs).await?;
    Ok(jobs.iter().filter_map(|job| row_of(job.options.job_id.as_deref()?)).collect())
}

/// What the ledger says became of a mail. Where it was deferred, or nobody can say, the next mailer decides.
pub(crate) async fn known(state: &State, id: Uuid) -> Result<Option<MailOutcome>, examhall_queue::Error> {
    let entry = state.ledger.get(&job_of(id)).await?;
    Ok(entry.and_then(|entry| match entry.state {
        Effect::Accepted => Some(MailOutcome::Sent),
        Effect::Refused | Effect::Held => Some(MailOutcome::Failed),
        Effect::Intent | Effect::Deferred => None,
    }))
}

/// It waits for somebody to mend that, until its time is over.
async fn not_composed(
    state: &State,
    waiting: &WaitingMail,
    error: &CannotCompose,
) -> Result<(), examhall_store::Error> {
    let id = waiting.mail.id;
    tracing::error!(mail_id = %id, %error, "A mail cannot be composed");
    if now() < waiting.mail.expires_at.unwrap_or(waiting.created_at.plus(LONGEST_WAIT)) {
        return Ok(());
    }
    state.store.outbox.close(&[id], MailOutcome::Failed, now()).await
}

/// The job of a mail, and the span of adding it: part of the trace of what caused the mail, and cause of its runs.
fn to_job(state: &State, waiting: &WaitingMail) -> Result<(NewJob<EmailJob>, Span), CannotCompose> {
    let mail = &waiting.mail;
    let (data, delivery) = state.mailroom.compose(waiting)?;
    let Delivery { attempts, not_before } = delivery;
    let wait = not_before.map_or(0, |at| at.as_millis() - now().as_millis());
    let span = Span::begin(SpanKind::Producer, "send", || Parent::from_json(mail.trace.as_deref()));
    span.set("messaging.system", "bullmq");
    span.set("messaging.operation.type", "send");
    span.set("messaging.message.id", job_of(mail.id));
    let options = JobOptions {
        job_id: Some(job_of(mail.id)),
        priority: mail.priority.to_bullmq(),
        delay: Duration::from_millis(u64::try_from(wait).unwrap_or(0)),
        retry: RetryPolicy { attempts: attempts.unwrap_or(EmailJob::RETRY.attempts), ..EmailJob::RETRY },
        remove_on_complete: Some(Retention::For { age: EmailJob::KEEP_COMPLETED, count: None }),
        remove_on_fail: Some(Retention::For { age: EmailJob::KEEP_FAILED, count: None }),
        telemetry: span.to_json(),
        ..JobOptions::default()
    };
    Ok((NewJob { name: EmailJob::NAME.to_owned(), data, options }, span))
}

/// The id of a mail's job.
pub(crate) fn job_of(id: Uuid) -> String {
    format!("{}{id}", EmailJob::ID_PREFIX)
}

/// The outbox row of a job of ours.
pub(crate) fn row_of(job_id: &str) -> Option<Uuid> {
    job_id.strip_prefix(EmailJob::ID_PREFIX)?.parse().ok()
}
