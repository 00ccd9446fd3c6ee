//! The relay: takes committed mails from the outbox to the queue.
//!
//! A mail may be taken twice, by a relay that died between adding its job and noting it: its job's id is made of the
//! row's, so the second time adds nothing. Where the job has ended and is gone by then, the ledger still knows.
//!
//! A mail that cannot be composed or added is left as it was claimed: the claim has deferred its next turn. As long as
//! batches hold such mails, the relay also claims the newest of each priority, so that a backlog of them is no
//! head-of-line block.

use std::{sync::Arc, time::Duration};

use examhall_boot::{
    liveness::Pulse,
    traces::{Parent, Span, SpanKind},
};
use examhall_core::EmailJob;
use examhall_delivery::DeliveryState;
use examhall_queue::{Backoff, JobOptions, JobRecord, NewJob, Retention};
use examhall_store::{MailOutcome, WaitingMail};
use futures_util::future::try_join_all;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::{
    mail::{CannotCompose, Delivery},
    state::{State, now},
};

/// New mails claimed at a time.
const BATCH: u64 = 100;
/// The same while batches hold mails that cannot be queued, which cost little.
const LARGE_BATCH: u64 = 500;
/// Mails that cannot be composed which one batch names in the log.
const NAMED: usize = 10;
/// How long a mail is this relay's; from then on another one takes it.
pub(crate) const HOLD: Duration = Duration::from_secs(30);
/// How long a mail that cannot be composed and does not expire waits for somebody to fix that.
const LONGEST_WAIT: Duration = Duration::from_hours(24);
/// How long a connection to Redis may take to come back before the batch is released, and how often it is tried.
const RECONNECT: Duration = Duration::from_secs(2);
const RECONNECT_POLL: Duration = Duration::from_millis(50);
/// How often it looks where nobody wakes it.
const POLL: Duration = Duration::from_secs(1);

/// Takes mails to the queue until `stop`.
pub(crate) async fn run(state: Arc<State>, pulse: Pulse, stop: CancellationToken) {
    let mut last = Batch::default();
    while !stop.is_cancelled() {
        pulse.beat();
        match relay_batch(&state, last).await {
            Ok(batch) => {
                last = batch;
                if batch.is_full() {
                    continue;
                }
            }
            Err(error) => tracing::warn!(%error, "Mails stay in the outbox for now"),
        }
        tokio::select! {
            () = state.wake.notified() => {}
            () = tokio::time::sleep(POLL) => {}
            () = stop.cancelled() => {}
        }
    }
    // The mails of the last requests; what cannot be queued now, another process takes.
    if let Err(error) = relay_batch(&state, last).await {
        tracing::warn!(%error, "Mails stay in the outbox for now");
    }
}

/// What one claim held.
#[derive(Clone, Copy, Debug, Default)]
struct Batch {
    claimed: usize,
    /// Mails that had their chance, and stay in the outbox for a fault of their own.
    stuck: usize,
}

impl Batch {
    const fn is_clean(self) -> bool {
        self.stuck == 0
    }

    /// Whether more may wait.
    const fn is_full(self) -> bool {
        self.claimed as u64 >= BATCH
    }
}

async fn relay_batch(state: &State, last: Batch) -> anyhow::Result<Batch> {
    // Asked first, so that mails are not held by a relay that can do nothing with them.
    if state.queue.connection().ping().await.is_err() {
        return Ok(Batch::default());
    }
    let waiting = if last.is_clean() {
        state.store.outbox.claim(BATCH, HOLD, now()).await?
    } else {
        state.store.outbox.claim_with_newest(LARGE_BATCH, HOLD, now()).await?
    };
    let stuck = queue(state, &waiting).await?;
    Ok(Batch { claimed: waiting.len(), stuck })
}

/// Takes mails that are this process's to the queue, and returns how many of them cannot be queued. Where Redis does not
/// take them, their claims are released.
pub(crate) async fn queue(state: &State, claimed: &[WaitingMail]) -> anyhow::Result<usize> {
    let added = match add(state, claimed).await {
        Ok(added) => added,
        Err(error) => {
            let ids: Vec<Uuid> = claimed.iter().map(|waiting| waiting.mail.id).collect();
            state.store.outbox.release(&ids).await?;
            return Err(error);
        }
    };
    if !added.queued.is_empty() {
        state.store.outbox.mark_queued(&added.queued, now()).await?;
        tracing::info!(mails = added.queued.len(), "Mails queued");
    }
    Ok(added.stuck)
}

struct Added {
    queued: Vec<Uuid>,
    stuck: usize,
}

/// Adds the jobs of mails whose outcome is not known yet.
async fn add(state: &State, claimed: &[WaitingMail]) -> anyhow::Result<Added> {
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
    let open = claimed.iter().zip(&known).filter(|(_, known)| known.is_none()).map(|(waiting, _)| waiting);
    let (mut composed, mut failed) = (Vec::new(), Vec::new());
    for waiting in open {
        match to_job(state, waiting) {
            Ok(job) => {
                if waiting.claims > 1 {
                    // The process that had it may have queued it, and it may have been sent and forgotten since.
                    tracing::info!(job_id = job_of(waiting.mail.id), "Mail queued again");
                }
                composed.push(job);
            }
            Err(error) => failed.push((waiting, error)),
        }
    }
    give_up(state, &failed).await?;
    let (jobs, _sending): (Vec<_>, Vec<_>) = composed.into_iter().unzip();
    let queued = add_jobs(state, &jobs).await?;
    Ok(Added { stuck: failed.len() + jobs.len() - queued.len(), queued })
}

/// Adds jobs all at once; where that fails and Redis is well, one by one, so that one that cannot be added holds up no
/// other.
async fn add_jobs(state: &State, jobs: &[NewJob<EmailJob>]) -> anyhow::Result<Vec<Uuid>> {
    let row = |job: &NewJob<EmailJob>| row_of(job.options.job_id.as_deref()?);
    let Err(error) = state.queue.add_all(jobs).await else { return Ok(jobs.iter().filter_map(row).collect()) };
    if jobs.len() < 2 || !is_redis_back(state).await {
        return Err(error.into());
    }
    let (mut queued, mut refused) = (Vec::new(), None);
    for job in jobs {
        match state.queue.add_all(std::slice::from_ref(job)).await {
            Ok(_) => queued.extend(row(job)),
            Err(error) if is_redis_back(state).await => drop(refused.replace(error)),
            Err(error) => return Err(error.into()),
        }
    }
    match refused {
        Some(error) if queued.is_empty() => Err(error.into()),
        Some(error) => {
            tracing::error!(mails = jobs.len() - queued.len(), %error, "Mails cannot be added to the queue");
            Ok(queued)
        }
        None => Ok(queued),
    }
}

/// What the ledger says became of a mail. Where it was deferred, or nobody can say, the next mailer decides.
pub(crate) async fn known(state: &State, id: Uuid) -> Result<Option<MailOutcome>, examhall_delivery::Error> {
    let entry = state.ledger.get(&job_of(id)).await?;
    Ok(entry.and_then(|entry| match entry.state {
        DeliveryState::Accepted | DeliveryState::Bounced | DeliveryState::Complained => Some(MailOutcome::Sent),
        DeliveryState::Refused | DeliveryState::Held => Some(MailOutcome::Failed),
        DeliveryState::Intent | DeliveryState::Deferred => None,
    }))
}

/// Whether Redis answers, or does so soon: it also hangs up on a command that is too large for it.
async fn is_redis_back(state: &State) -> bool {
    let pings = async {
        while state.queue.connection().ping().await.is_err() {
            tokio::time::sleep(RECONNECT_POLL).await;
        }
    };
    tokio::time::timeout(RECONNECT, pings).await.is_ok()
}

/// Reports mails that cannot be composed, each in the turn that it first fails in, and closes those whose time is over as
/// failed. The others wait for somebody to fix the cause.
async fn give_up(state: &State, failed: &[(&WaitingMail, CannotCompose)]) -> Result<(), examhall_store::Error> {
    let first_time = || failed.iter().filter(|(waiting, _)| waiting.claims <= 1);
    for (waiting, error) in first_time().take(NAMED) {
        tracing::error!(mail_id = %waiting.mail.id, %error, "A mail cannot be composed");
    }
    if first_time().nth(NAMED).is_some() {
        tracing::error!(mails = first_time().count(), "Mails cannot be composed");
    }
    metrics::counter!("mail_outbox_uncomposable_total").increment(first_time().count() as u64);
    let is_over =
        |waiting: &WaitingMail| now() >= waiting.mail.expires_at.unwrap_or(waiting.created_at.plus(LONGEST_WAIT));
    let over: Vec<Uuid> =
        failed.iter().filter(|(waiting, _)| is_over(waiting)).map(|(waiting, _)| waiting.mail.id).collect();
    state.store.outbox.close(&over, MailOutcome::Failed, now()).await.map(drop)
}

/// The job of a mail, and the span of adding it: part of the trace of what caused the mail, and cause of its runs.
fn to_job(state: &State, waiting: &WaitingMail) -> Result<(NewJob<EmailJob>, Span), CannotCompose> {
    let mail = &waiting.mail;
    let (data, delivery) = state.mail_composer.compose(waiting)?;
    let Delivery { attempts, not_before } = delivery;
    let wait = not_before.map_or(0, |at| at.as_millis() - now().as_millis());
    let span = Span::begin(SpanKind::Producer, "send", || Parent::from_json(mail.trace.as_deref()));
    span.set("messaging.system", "bullmq");
    span.set("messaging.operation.type", "send");
    span.set("messaging.message.id", job_of(mail.id));
    let mut options = JobOptions::default()
        .job_id(job_of(mail.id))
        .priority(mail.priority.to_bullmq())
        .delay(Duration::from_millis(u64::try_from(wait).unwrap_or(0)))
        .attempts(attempts.unwrap_or(EmailJob::ATTEMPTS))
        .backoff(Backoff::exponential(EmailJob::BACKOFF))
        .remove_on_complete(Retention::age(EmailJob::KEEP_COMPLETED))
        .remove_on_fail(Retention::age(EmailJob::KEEP_FAILED));
    options.telemetry = span.to_json();
    Ok((NewJob::new(EmailJob::NAME, data).options(options), span))
}

/// Options of a copy of a mail that was sent.
pub(crate) fn options_of_copy(job: &JobRecord) -> JobOptions {
    JobOptions::default()
        .priority(job.priority)
        .attempts(job.options.retry.attempts.max(1))
        .backoff(Backoff::exponential(EmailJob::BACKOFF))
        .remove_on_complete(Retention::age(EmailJob::KEEP_COMPLETED))
        .remove_on_fail(Retention::age(EmailJob::KEEP_FAILED))
}

/// The id of a mail's job.
pub(crate) fn job_of(id: Uuid) -> String {
    format!("{}{id}", EmailJob::ID_PREFIX)
}

/// The outbox row of a job of ours.
pub(crate) fn row_of(job_id: &str) -> Option<Uuid> {
    job_id.strip_prefix(EmailJob::ID_PREFIX)?.parse().ok()
}
