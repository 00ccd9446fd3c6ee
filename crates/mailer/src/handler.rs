//! What is done with one job.
//!
//! ```text
//!   readable? expired? ──> message ──> ledger, suppressions ──> intent, server waits ──> message ──> outcome ──> done
//! ```
//! The ledger is written before the message and after it, so that a worker that gets the job later knows whether the
//! mail was sent, was not, or may have been.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_boot::{
    health::Health,
    traces::{Parent, Span, SpanKind},
};
use examhall_core::{EmailJob, MailClass};
use examhall_delivery::{DeliveryState, Ledger, LedgerEntry};
use examhall_queue::{Failure, Handler, Job, Outcome};
use serde_json::{Value, json};

use crate::{
    attempt::{Attempt, is_in_doubt, is_of, now},
    bodies::Bodies,
    end::{End, slow_lane},
    expiry::{has_expired, last_moment},
    gauges::BusySlot,
    message::{Author, Prepared, prepare},
    outcomes::Outcomes,
    payload::Payload,
    smtp::{Delivered, Transport, Undelivered},
    suppressions::{Suppressed, Suppressions},
    verdict::Verdict,
};

/// Sends mails.
#[derive(Clone)]
pub(crate) struct SendMail {
    pub(crate) transport: Arc<Transport>,
    pub(crate) author: Author,
    pub(crate) health: Health,
    pub(crate) ledger: Ledger,
    pub(crate) outcomes: Outcomes,
    pub(crate) suppressions: Suppressions,
    /// Whether a mail that is neither a verification nor a reset is held where it may have been sent before.
    pub(crate) hold_in_doubt: bool,
    /// Takes the bodies of sent mails out of Redis, unless they are to be kept.
    pub(crate) bodies: Option<Bodies>,
    /// Mails of which nobody knows whether they were taken.
    pub(crate) ambiguous: Arc<AtomicU64>,
}

impl Handler<Payload> for SendMail {
    async fn run(&self, job: Job<Payload>) -> Outcome {
        let _busy = BusySlot::new();
        let span = Span::begin(SpanKind::Consumer, "process", || Parent::from_json(job.options.telemetry.as_deref()));
        let end = span.around(self.attempt(&job)).await;
        describe(&span, &job, &end);
        if let (End::Sent(_), Some(bodies)) = (&end, &self.bodies) {
            bodies.wipe(&job.id, &job.data.0);
        }
        metrics::counter!("mailer_attempts_total", "outcome" => end.as_str()).increment(1);
        end.into_outcome()
    }

    /// A mail whose worker died between its acceptance and the end of its job has been sent all the same.
    async fn give_up(&self, job: Job<Payload>, reason: String) -> Outcome {
        let known = self.ledger.get(&job.id).await;
        match known.map(|known| known.filter(|entry| is_of(&job, entry))) {
            Ok(Some(known)) if known.state == DeliveryState::Accepted => Outcome::Completed(known.result),
            Ok(Some(known)) if is_in_doubt(&known) => {
                flag(&job, "its workers died, and it may have been delivered").await;
                Outcome::Unrecoverable(Failure::new(format!("{reason}: it may have been delivered")))
            }
            Ok(_) => Outcome::Unrecoverable(Failure::new(reason)),
            Err(error) => End::redis_trouble(&error).into_outcome(),
        }
    }
}

impl SendMail {
    async fn attempt(&self, job: &Job<Payload>) -> End {
        match self.send(job).await {
            Ok(result) => End::Sent(result),
            // A mail that has waited long enough does not wait on.
            Err(End::Parked(span)) => {
                let left = Duration::from_millis(last_moment(job).saturating_sub(now()).try_into().unwrap_or(0));
                if left.is_zero() { End::Expired } else { End::Parked(span.min(left)) }
            }
            Err(end) => end,
        }
    }

    async fn send(&self, job: &Job<Payload>) -> Result<Value, End> {
        let Payload(data) = &job.data;
        if job.name != EmailJob::NAME {
            return Err(End::Failed(format!("name: there is no handler for jobs named {:?}", job.name)));
        }
        if has_expired(job) {
            return Err(End::Expired);
        }
        let mut mail =
            prepare(data, &job.id, job.timestamp, &self.author).map_err(|error| End::Failed(error.to_string()))?;
        // Both before any connection is opened, and in one round trip.
        let (known, suppressed) = tokio::join!(self.ledger.read(&job.id), self.suppressions.among(&mail.to));
        let known = known.map_err(|error| End::redis_trouble(&error))?;
        let somebody_is_left = leave_out(&mut mail, suppressed.map_err(|error| End::redis_trouble(&error))?);
        let attempt = Attempt::new(job, &mail, &self.ledger, known);
        self.heed_ledger(&attempt).await?;
        somebody_is_left?;
        self.deliver(&attempt).await
    }

    /// Whether what the ledger says of the job ends it.
    async fn heed_ledger(&self, attempt: &Attempt<'_>) -> Result<(), End> {
        let (Some(known), job) = (attempt.known(), attempt.job) else { return Ok(()) };
        // Only an operator's retry comes here without the job having lost its worker once more.
        let is_decided = known.state == DeliveryState::Held && known.stalls == job.stalls;
        match known.state {
            DeliveryState::Accepted => {
                tracing::info!(job_id = job.id, "Mail was accepted before: not sent again");
                Err(End::Sent(known.result))
            }
            DeliveryState::Intent | DeliveryState::Held if !is_decided && !self.may_be_sent_twice(job) => {
                Err(self.hold(attempt).await)
            }
            DeliveryState::Intent => {
                tracing::warn!(
                    job_id = job.id,
                    possible_duplicate = true,
                    "Mail may have been sent before: sent again"
                );
                metrics::counter!("mailer_resent_in_doubt_total").increment(1);
                flag(job, "sent again although it may have been delivered before").await;
                Ok(())
            }
            DeliveryState::Held | DeliveryState::Deferred | DeliveryState::Refused => Ok(()),
        }
    }

    fn may_be_sent_twice(&self, job: &Job<Payload>) -> bool {
        !self.hold_in_doubt || matches!(job.data.0.class, MailClass::Verification | MailClass::Reset)
    }

    /// Leaves the mail to an operator, whose retry sends it.
    async fn hold(&self, attempt: &Attempt<'_>) -> End {
        let job = attempt.job;
        let held = LedgerEntry { stalls: job.stalls, ..attempt.entry(DeliveryState::Held) };
        self.outcomes.write(&job.id, Some(attempt.standing()), held).await;
        End::Failed(format!("held: it may have been delivered before; `mailer queue retry {}` sends it again", job.id))
    }

    async fn deliver(&self, attempt: &Attempt<'_>) -> Result<Value, End> {
        let (started, job) = (Instant::now(), attempt.job);
        // Saves a round trip. Killed meanwhile, the mail is in doubt though it was not sent: where that would hold it, the
        // intent is written afterwards.
        let is_noted_meanwhile = self.may_be_sent_twice(job);
        let meanwhile = || async move {
            if is_noted_meanwhile {
                let _ = attempt.note_intent().await; // looked at below
            }
        };
        let pending = match self.transport.begin(attempt.mail, meanwhile).await {
            Ok(pending) => pending,
            Err(undelivered) => return Err(self.undelivered(attempt, undelivered).await),
        };
        let may_be_sent = match attempt.note_intent().await {
            Ok(()) if job.claim.is_lost() => Err(End::Returned),
            Ok(()) if has_expired(job) => Err(End::Expired),
            noted => noted,
        };
        if let Err(end) = may_be_sent {
            return Err(self.not_sent(attempt, end).await);
        }
        match pending.finish(&job.id, attempt.mail).await {
            Ok(delivered) => Ok(self.accepted(attempt, delivered, started.elapsed()).await),
            Err(undelivered) => Err(self.undelivered(attempt, undelivered).await),
        }
    }

    async fn accepted(&self, attempt: &Attempt<'_>, delivered: Delivered, took: Duration) -> Value {
        let (job, mail) = (attempt.job, attempt.mail);
        self.health.report("smtp", Ok(()));
        let ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        tracing::info!(job_id = job.id, attempt = job.attempts_made + 1, ms, "Mail accepted");
        let waited = Duration::from_millis(now().saturating_sub(job.timestamp).try_into().unwrap_or(0));
        metrics::histogram!("mailer_time_to_accept_seconds", "class" => job.data.0.class.as_str()).record(waited);
        let rejected: Vec<_> = delivered.rejected.iter().map(|one| &one.address).chain(&mail.suppressed).collect();
        let result = json!({
            "messageId": mail.message_id, "response": delivered.response, "accepted": delivered.accepted,
            "rejected": rejected, "provider": delivered.provider, "ms": ms,
        });
        let outcome = LedgerEntry { deferrals: 0, result: result.clone(), ..attempt.entry(DeliveryState::Accepted) };
        self.outcomes.write(&job.id, None, outcome).await;
        self.suppressions.note(&job.id, &delivered.rejected).await;
        result
    }

    /// Nobody took the mail, or nobody knows.
    async fn undelivered(&self, attempt: &Attempt<'_>, undelivered: Undelivered) -> End {
        let job = attempt.job;
        self.note(job, &undelivered).await;
        let Undelivered { verdict, mut reason, .. } = undelivered;
        if attempt.in_doubt && !verdict.leaves_doubt() {
            reason.push_str("; an earlier try may have been delivered");
        }
        let end = match verdict {
            _ if verdict.leaves_doubt() && !self.may_be_sent_twice(job) => return self.hold(attempt).await,
            Verdict::Ambiguous => return End::Ambiguous(format!("{reason}: it may have been delivered")),
            // At once, once: nobody is to get a copy each time the provider is tried.
            Verdict::Garbled => {
                let wait = attempt.deferrals.checked_sub(1).map_or(self.next_try(), slow_lane);
                return self.put_off(attempt, DeliveryState::Intent, wait).await;
            }
            Verdict::SlowLane => {
                return self.put_off(attempt, DeliveryState::Deferred, slow_lane(attempt.deferrals)).await;
            }
            Verdict::Provider(_) => End::Parked(self.next_try()),
            Verdict::Retry => End::Retried(reason),
            Verdict::Permanent(_) => End::Failed(reason),
        };
        self.not_sent(attempt, end).await
    }

    /// When a provider can be expected to take a mail.
    fn next_try(&self) -> Duration {
        self.transport.next_probe().unwrap_or(Duration::from_secs(1))
    }

    /// Each time longer, and without spending an attempt.
    async fn put_off(&self, attempt: &Attempt<'_>, state: DeliveryState, wait: Duration) -> End {
        let again = LedgerEntry { deferrals: attempt.deferrals + 1, ..attempt.entry(state) };
        self.outcomes.write(&attempt.job.id, Some(attempt.standing()), again).await;
        End::Parked(wait)
    }

    /// Takes back the intent, where it was or may have been written: nobody is to take the mail for one in doubt.
    async fn not_sent(&self, attempt: &Attempt<'_>, end: End) -> End {
        if attempt.is_intent_noted() {
            let state = if matches!(end, End::Failed(_)) { DeliveryState::Refused } else { DeliveryState::Deferred };
            self.outcomes.write(&attempt.job.id, Some(attempt.standing()), attempt.entry(state)).await;
        }
        end
    }

    async fn note(&self, job: &Job<Payload>, undelivered: &Undelivered) {
        let is_provider = undelivered.verdict.trouble().is_some();
        self.health.report("smtp", if is_provider { Err(undelivered.label.clone()) } else { Ok(()) });
        let possible_duplicate = undelivered.verdict.leaves_doubt();
        if possible_duplicate {
            metrics::counter!("mailer_ambiguous_total").increment(1);
            self.ambiguous.fetch_add(1, Ordering::Relaxed);
            flag(job, "the server did not say whether it took the mail").await;
        }
        let attempt = job.attempts_made + 1;
        tracing::warn!(job_id = job.id, attempt, reason = undelivered.label, possible_duplicate, "Mail not accepted");
        self.suppressions.note(&job.id, &undelivered.rejected).await;
    }
}

/// By the semantic conventions for messaging. What a server said may hold an address, so it is not told.
fn describe(span: &Span, job: &Job<Payload>, end: &End) {
    span.set("messaging.system", "bullmq");
    span.set("messaging.operation.type", "process");
    span.set("messaging.message.id", job.id.clone());
    span.set("examhall.attempt", i64::from(job.attempts_made) + 1);
    span.set("examhall.outcome", end.as_str());
    if matches!(end, End::Retried(_) | End::Ambiguous(_) | End::Failed(_)) {
        span.fail(end.as_str());
    }
}

/// Nothing is sent to those who are on the list.
fn leave_out(mail: &mut Prepared, suppressed: Vec<Suppressed>) -> Result<(), End> {
    mail.to.retain(|address| !suppressed.iter().any(|one| one.address == address.to_string()));
    mail.suppressed = suppressed.iter().map(|one| one.address.clone()).collect();
    match suppressed.into_iter().next() {
        Some(first) if mail.to.is_empty() => Err(End::Suppressed(format!("suppressed: {}", first.reason))),
        _ => Ok(()),
    }
}

/// Notes a possible duplicate in the job's own log, where operators look.
async fn flag(job: &Job<Payload>, what: &str) {
    if let Err(error) = job.claim.log(&format!("possible_duplicate: {what}")).await {
        tracing::debug!(job_id = job.id, %error, "The job's log could not be written");
    }
}
