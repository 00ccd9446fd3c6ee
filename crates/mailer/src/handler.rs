//! Handler of one job.
//!
//! ```text
//!   readable? expired? ──> message ──> ledger, suppressions ──> intent, envelope ──> message ──> ledger ──> done
//! ```
//! The ledger is written before the message is sent and after it, so that a worker that gets the job later knows whether the
//! mail was sent, was not, or may have been.

mod failure;
mod known;
mod suppressed;

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, AtomicU64},
    },
    time::{Duration, Instant},
};

use examhall_boot::{
    health::Health,
    traces::{Parent, Span, SpanKind},
};
use examhall_core::{EmailJob, Priority};
use examhall_delivery::{DeliveryState, Ledger, LedgerEntry};
use examhall_queue::{Handler, Job, Outcome, Queue};
use parking_lot::RwLock;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use self::suppressed::{exclude_suppressed, report_security_mail};
use crate::{
    attempt::{Attempt, is_of},
    attempt_outcome::AttemptOutcome,
    body_wiper::BodyWiper,
    expiry::{has_expired, last_moment},
    gauges::BusySlot,
    ledger_writer::LedgerWriter,
    mail_names::names_of,
    message::{Addresses, Author, Identity, InvalidMail, PreparedMail, prepare},
    payload::Payload,
    recorder::Recorder,
    redis_outage::RedisOutage,
    smtp::{Delivered, Transport},
    suppressions::Suppressions,
};

/// Size of a mail, in bytes, from which it is composed in another thread: about a millisecond of work.
const LARGE: usize = 128 * 1024;

/// Priority from which a mail does not queue for the rate of a domain, such as that of verifications.
const URGENT: u8 = 8;

/// Sends mails.
#[derive(Clone)]
pub(crate) struct SendMail {
    /// Knows the time of its Redis, by which mails are dated and expire.
    pub(crate) queue: Queue<Payload>,
    pub(crate) transport: Arc<Transport>,
    /// Replaced when settings are reloaded.
    pub(crate) author: Arc<RwLock<Arc<Author>>>,
    pub(crate) health: Health,
    pub(crate) ledger: Ledger,
    pub(crate) ledger_writer: LedgerWriter,
    pub(crate) suppressions: Suppressions,
    /// Whether a mail in doubt is held, unless it is a verification or a reset.
    pub(crate) hold_in_doubt: bool,
    /// Removes the bodies of sent mails from Redis, unless they are to be kept.
    pub(crate) body_wiper: Option<BodyWiper>,
    /// Whether Redis is missing.
    pub(crate) redis_outage: RedisOutage,
    /// Number of ambiguous deliveries.
    pub(crate) ambiguous: Arc<AtomicU64>,
    /// Counts what becomes of mails.
    pub(crate) recorder: Recorder,
    /// Number of mails in flight.
    pub(crate) busy: Arc<AtomicU32>,
}

impl Handler<Payload> for SendMail {
    async fn run(&self, job: Job<Payload>) -> Outcome {
        let _busy = BusySlot::new(&self.busy);
        let span = Span::begin(SpanKind::Consumer, "process", || Parent::from_json(job.options.telemetry.as_deref()));
        let outcome = span.around(self.attempt(&job)).await;
        self.redis_outage.note(&outcome);
        describe(&span, &job, &outcome);
        if let (AttemptOutcome::Sent(_), Some(wiper)) = (&outcome, &self.body_wiper) {
            wiper.wipe(&job.id, &job.data.0);
        }
        metrics::counter!("mailer_attempts_total", "outcome" => outcome.as_str()).increment(1);
        outcome.into_job_outcome()
    }

    /// Completes the job if its mail was accepted before its worker died.
    async fn give_up(&self, job: Job<Payload>, reason: String) -> Outcome {
        match self.end_of_lost(&job, reason).await {
            Ok(outcome) => outcome,
            Err(error) => {
                let outcome = error.into();
                self.redis_outage.note(&outcome);
                outcome.into_job_outcome()
            }
        }
    }
}

impl SendMail {
    /// The sender and the DKIM keys.
    pub(crate) fn author(&self) -> Arc<Author> {
        Arc::clone(&self.author.read())
    }

    /// Waits for writes in the background, cancels `background`, and closes idle connections.
    pub(crate) async fn finish(self, background: &CancellationToken) {
        self.ledger_writer.finish().await;
        self.recorder.flush().await;
        if let Some(body_wiper) = self.body_wiper {
            body_wiper.finish().await;
        }
        background.cancel();
        self.transport.close_idle().await;
    }

    async fn attempt(&self, job: &Job<Payload>) -> AttemptOutcome {
        match self.send(job).await {
            Ok(result) => AttemptOutcome::Sent(result),
            // A mail waits until its last moment at most.
            Err(AttemptOutcome::Snoozed(span)) => {
                let left =
                    Duration::from_millis(last_moment(job).saturating_sub(self.queue.now_ms()).try_into().unwrap_or(0));
                if left.is_zero() { AttemptOutcome::Expired } else { AttemptOutcome::Snoozed(span.min(left)) }
            }
            Err(outcome) => outcome,
        }
    }

    async fn send(&self, job: &Job<Payload>) -> Result<Value, AttemptOutcome> {
        let Payload(data) = &job.data;
        if job.name != EmailJob::NAME {
            return Err(AttemptOutcome::Failed(format!("name: there is no handler for jobs named {:?}", job.name)));
        }
        if has_expired(job, self.queue.now_ms()) {
            return Err(AttemptOutcome::Expired);
        }
        let invalid = |error: InvalidMail| AttemptOutcome::Failed(error.to_string());
        let author = self.author();
        let addresses = Addresses::of(data, &author.from, &author.staging).map_err(invalid)?;
        // Both before a connection is opened, and in one round trip.
        let (known, suppressed) =
            tokio::join!(self.ledger.read(&job.id), self.suppressions.among(&addresses.recipients, data.class));
        let known = known?;
        let suppressed = suppressed?;
        let sent_at = known
            .entry()
            .filter(|entry| is_of(job, entry))
            .and_then(|entry| entry.date)
            .unwrap_or_else(|| self.queue.now_ms());
        let mut mail = composed(job, addresses, sent_at, &author).await.map_err(invalid)?;
        mail.is_urgent = is_urgent(job);
        let recipients_left = exclude_suppressed(&mut mail, suppressed);
        let attempt = Attempt::new(job, &mail, &self.ledger, known, &self.queue);
        self.check_ledger(&attempt).await?;
        if let Err(outcome) = recipients_left {
            report_security_mail(job);
            return Err(self.refuse(&attempt, attempt.entry(DeliveryState::Refused), outcome).await);
        }
        if attempt.mail.to.is_empty() {
            return Err(self.withhold(&attempt).await);
        }
        self.deliver(&attempt).await
    }

    async fn deliver(&self, attempt: &Attempt<'_>) -> Result<Value, AttemptOutcome> {
        let (started, job) = (Instant::now(), attempt.job);
        // Saves a round trip. If the mailer is killed before the message is sent, the mail is in doubt although it was not
        // sent; if that would hold the mail, the intent is written after the envelope.
        let writes_intent_early = self.may_be_sent_twice(job);
        let during_envelope = || async move {
            if writes_intent_early {
                let _ = attempt.write_intent().await; // checked below
            }
        };
        let pending = match self.transport.begin(attempt.mail, during_envelope).await {
            Ok(pending) => pending,
            Err(error) => return Err(self.failed(attempt, error).await),
        };
        let may_be_sent = match attempt.write_intent().await {
            Ok(()) if job.claim.is_lost() => Err(AttemptOutcome::Released),
            Ok(()) if has_expired(job, self.queue.now_ms()) => Err(AttemptOutcome::Expired),
            written => written,
        };
        if let Err(outcome) = may_be_sent {
            return Err(self.not_sent(attempt, outcome).await);
        }
        match pending.finish(&job.id, attempt.mail).await {
            Ok(delivered) => Ok(self.accepted(attempt, delivered, started.elapsed()).await),
            Err(error) => Err(self.failed(attempt, error).await),
        }
    }

    async fn accepted(&self, attempt: &Attempt<'_>, delivered: Delivered, took: Duration) -> Value {
        let (job, mail) = (attempt.job, attempt.mail);
        self.health.report("smtp", Ok(()));
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(job_id = job.id, attempt = job.attempts_made + 1, ms, "Mail accepted");
        let now = self.queue.now_ms();
        let waited = Duration::from_millis(now.saturating_sub(job.timestamp).try_into().unwrap_or(0));
        self.recorder.sent(now, wait_of(job, now));
        metrics::histogram!("mailer_time_to_accept_seconds", "class" => job.data.0.class.as_str()).record(waited);
        let removed = mail.suppressed.iter().chain(&mail.withheld);
        let rejected: Vec<_> = delivered.rejected.iter().map(|one| &one.address).chain(removed).collect();
        let result = json!({
            "messageId": mail.message_id, "response": delivered.response, "accepted": delivered.accepted,
            "rejected": rejected, "provider": delivered.provider, "ms": ms,
        });
        let entry = LedgerEntry { deferrals: 0, result: result.clone(), ..attempt.entry(DeliveryState::Accepted) };
        self.ledger_writer.write(&job.id, None, entry).await;
        self.name(attempt, &result);
        self.suppressions.record(&job.id, &delivered.provider, &delivered.rejected).await;
        result
    }

    /// Records names of the mail that do not tell its job, by which a bounce may name it.
    fn name(&self, attempt: &Attempt<'_>, result: &Value) {
        let (job, mail) = (attempt.job, attempt.mail);
        for name in names_of(&job.id, mail, result["response"].as_str().unwrap_or_default()) {
            self.ledger_writer.name(name, &job.id);
        }
    }
}

/// Composes the mail; a large one in another thread, so that it does not delay the other mails and the heartbeat.
async fn composed(
    job: &Job<Payload>,
    addresses: Addresses,
    sent_at: i64,
    author: &Author,
) -> Result<PreparedMail, InvalidMail> {
    let (Payload(data), timestamp) = (&job.data, job.timestamp);
    if size(data) < LARGE {
        return prepare(data, &Identity { id: &job.id, timestamp }, &addresses, sent_at, author);
    }
    let (data, id, author) = (data.clone(), job.id.clone(), author.clone());
    let composing = tokio::task::spawn_blocking(move || {
        prepare(&data, &Identity { id: &id, timestamp }, &addresses, sent_at, &author)
    });
    composing.await.unwrap_or_else(|error| Err(InvalidMail::new("mail", format!("it could not be composed: {error}"))))
}

/// Returns whether a mail does not queue behind others for the rate of a domain: it is of the highest priorities, or it did
/// queue before.
fn is_urgent(job: &Job<Payload>) -> bool {
    let has_waited = job.attempts_started > job.attempts_made + 1;
    has_waited || Priority::from_bullmq(job.priority).level() >= URGENT
}

/// Time in ms for which a mail has waited since it was committed, or since it was to be sent.
fn wait_of(job: &Job<Payload>, now: i64) -> i64 {
    let delay = i64::try_from(job.options.delay.as_millis()).unwrap_or(i64::MAX);
    now.saturating_sub(job.timestamp).saturating_sub(delay).max(0)
}

/// Size of a mail's content in bytes.
fn size(job: &EmailJob) -> usize {
    let files = job.attachments.iter().chain(&job.alternatives).map(|file| file.content.len());
    job.html.len() + job.text.as_ref().map_or(0, String::len) + files.sum::<usize>()
}

/// Sets the attributes of the semantic conventions for messaging. A server's text may contain an address, so it is left out.
fn describe(span: &Span, job: &Job<Payload>, outcome: &AttemptOutcome) {
    span.set("messaging.system", "bullmq");
    span.set("messaging.operation.type", "process");
    span.set("messaging.message.id", job.id.clone());
    span.set("examhall.attempt", i64::from(job.attempts_made) + 1);
    span.set("examhall.outcome", outcome.as_str());
    if matches!(outcome, AttemptOutcome::Deferred(_) | AttemptOutcome::Ambiguous(_) | AttemptOutcome::Failed(_)) {
        span.fail(outcome.as_str());
    }
}

/// Records a possible duplicate in the job's log, for operators.
async fn flag(job: &Job<Payload>, what: &str) {
    if let Err(error) = job.claim.log(&format!("possible_duplicate: {what}")).await {
        tracing::debug!(job_id = job.id, %error, "The job's log could not be written");
    }
}
