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
    time::{Duration, Instant, SystemTime},
};

use examhall_boot::{
    health::Health,
    traces::{Parent, Span, SpanKind},
};
use examhall_core::{EmailJob, MailClass, Timestamp};
use examhall_queue::{Effect, Entry, Failure, Handler, Job, Ledger, Outcome, Standing};
use serde_json::{Value, json};

use crate::{
    bodies::Bodies,
    end::{End, slow_lane},
    intent::Intent,
    message::{Author, Prepared, prepare},
    outcomes::Outcomes,
    payload::Payload,
    smtp::{Delivered, Transport, Undelivered},
    suppressions::{Suppressed, Suppressions},
    verdict::Verdict,
};

/// How long a mail that may not be sent now is kept where its job does not say when it expires.
const LIFE: Duration = Duration::from_hours(24);

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
            Ok(Some(known)) if known.state == Effect::Accepted => Outcome::Completed(known.result),
            Ok(Some(known)) if known.state == Effect::Intent => {
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
        let deferrals = self.known(job, &mail, &known).await?;
        leave_out(&mut mail, suppressed.map_err(|error| End::redis_trouble(&error))?)?;
        self.deliver(job, &mail, &known, deferrals).await
    }

    /// What the ledger says of the job, unless that ends it: how often it was put off.
    async fn known(&self, job: &Job<Payload>, mail: &Prepared, standing: &Standing) -> Result<u32, End> {
        let Some(known) = standing.entry().filter(|entry| is_of(job, entry)) else { return Ok(0) };
        // Only an operator's retry comes here without the job having lost its worker once more.
        let is_decided = known.state == Effect::Held && known.stalls == job.stalls;
        match known.state {
            Effect::Accepted => {
                tracing::info!(job_id = job.id, "Mail was accepted before: not sent again");
                Err(End::Sent(known.result))
            }
            Effect::Intent | Effect::Held if !is_decided && !self.may_be_sent_twice(job) => {
                Err(self.hold(job, mail, standing, known.deferrals).await)
            }
            Effect::Intent => {
                tracing::warn!(
                    job_id = job.id,
                    possible_duplicate = true,
                    "Mail may have been sent before: sent again"
                );
                metrics::counter!("mailer_resent_in_doubt_total").increment(1);
                flag(job, "sent again although it may have been delivered before").await;
                Ok(known.deferrals)
            }
            Effect::Held | Effect::Deferred | Effect::Refused => Ok(known.deferrals),
        }
    }

    fn may_be_sent_twice(&self, job: &Job<Payload>) -> bool {
        !self.hold_in_doubt || matches!(job.data.0.class, MailClass::Verification | MailClass::Reset)
    }

    /// Leaves the mail to an operator, whose retry sends it.
    async fn hold(&self, job: &Job<Payload>, mail: &Prepared, known: &Standing, deferrals: u32) -> End {
        let held = Entry { stalls: job.stalls, ..entry(Effect::Held, mail, deferrals, Value::Null) };
        self.outcomes.write(&job.id, Some(known), held).await;
        End::Failed(format!("held: it may have been delivered before; `mailer queue retry {}` sends it again", job.id))
    }

    async fn deliver(
        &self,
        job: &Job<Payload>,
        mail: &Prepared,
        known: &Standing,
        deferrals: u32,
    ) -> Result<Value, End> {
        let started = Instant::now();
        let intent = Intent::new(job, &self.ledger, known, entry(Effect::Intent, mail, deferrals, Value::Null));
        // Saves a round trip. Killed meanwhile, the mail is in doubt though it was not sent: where that would hold it, the
        // intent is written afterwards.
        let is_noted_meanwhile = self.may_be_sent_twice(job);
        let meanwhile = || {
            let intent = &intent;
            async move {
                if is_noted_meanwhile {
                    let _ = intent.note().await; // looked at below
                }
            }
        };
        let pending = match self.transport.begin(mail, meanwhile).await {
            Ok(pending) => pending,
            Err(undelivered) => return Err(self.undelivered(job, mail, deferrals, &intent, undelivered).await),
        };
        intent.note().await?;
        if job.claim.is_lost() {
            return Err(End::Returned); // the intent stands: whoever has the job now cannot know better
        }
        if has_expired(job) {
            return Err(self.not_sent(job, mail, deferrals, &intent, End::Expired).await);
        }
        match pending.finish(&job.id, mail).await {
            Ok(delivered) => Ok(self.accepted(job, mail, delivered, started.elapsed()).await),
            Err(undelivered) => Err(self.undelivered(job, mail, deferrals, &intent, undelivered).await),
        }
    }

    async fn accepted(&self, job: &Job<Payload>, mail: &Prepared, delivered: Delivered, took: Duration) -> Value {
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
        let outcome = entry(Effect::Accepted, mail, 0, result.clone());
        self.outcomes.write(&job.id, None, outcome).await;
        self.suppressions.note(&job.id, &delivered.rejected).await;
        result
    }

    /// Nobody took the mail, or nobody knows.
    async fn undelivered(
        &self,
        job: &Job<Payload>,
        mail: &Prepared,
        deferrals: u32,
        intent: &Intent<'_>,
        undelivered: Undelivered,
    ) -> End {
        self.note(job, &undelivered).await;
        let Undelivered { verdict, reason, .. } = undelivered;
        let end = match verdict {
            Verdict::Ambiguous if !self.may_be_sent_twice(job) => {
                return self.hold(job, mail, intent.standing(), deferrals).await;
            }
            Verdict::Ambiguous => return End::Ambiguous(format!("{reason}: it may have been delivered")),
            Verdict::SlowLane => {
                let again = entry(Effect::Deferred, mail, deferrals + 1, Value::Null);
                self.outcomes.write(&job.id, Some(intent.standing()), again).await;
                return End::Parked(slow_lane(deferrals));
            }
            Verdict::Provider(_) => End::Parked(self.transport.next_probe().unwrap_or(Duration::from_secs(1))),
            Verdict::Retry => End::Retried(reason),
            Verdict::Permanent(_) => End::Failed(reason),
        };
        self.not_sent(job, mail, deferrals, intent, end).await
    }

    /// Takes back the intent, where it was written.
    async fn not_sent(
        &self,
        job: &Job<Payload>,
        mail: &Prepared,
        deferrals: u32,
        intent: &Intent<'_>,
        end: End,
    ) -> End {
        if intent.is_noted() {
            let state = if matches!(end, End::Failed(_)) { Effect::Refused } else { Effect::Deferred };
            let outcome = entry(state, mail, deferrals, Value::Null);
            self.outcomes.write(&job.id, Some(intent.standing()), outcome).await;
        }
        end
    }

    async fn note(&self, job: &Job<Payload>, undelivered: &Undelivered) {
        let is_provider = matches!(undelivered.verdict, Verdict::Provider(_));
        self.health.report("smtp", if is_provider { Err(undelivered.label.clone()) } else { Ok(()) });
        let possible_duplicate = undelivered.verdict == Verdict::Ambiguous;
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

/// Counts as busy until it is dropped.
struct BusySlot(metrics::Gauge);

impl BusySlot {
    fn new() -> Self {
        let slots = metrics::gauge!("mailer_slots_busy");
        slots.increment(1.0);
        Self(slots)
    }
}

impl Drop for BusySlot {
    fn drop(&mut self) {
        self.0.decrement(1.0);
    }
}

/// Notes a possible duplicate in the job's own log, where operators look.
async fn flag(job: &Job<Payload>, what: &str) {
    if let Err(error) = job.claim.log(&format!("possible_duplicate: {what}")).await {
        tracing::debug!(job_id = job.id, %error, "The job's log could not be written");
    }
}

/// Whether an entry is of this very job: ids that are numbers are counted anew once a queue was obliterated.
fn is_of(job: &Job<Payload>, entry: &Entry) -> bool {
    entry.job_timestamp.is_none_or(|then| then == job.timestamp)
}

fn has_expired(job: &Job<Payload>) -> bool {
    job.data.0.expires_at.is_some_and(|end| end <= Timestamp::from_millis(now()))
}

/// When a mail that could not be sent yet is given up, in ms since 1970.
fn last_moment(job: &Job<Payload>) -> i64 {
    let meant_for = Timestamp::from_millis(job.timestamp).plus(job.options.delay);
    job.data.0.expires_at.unwrap_or(meant_for.plus(LIFE)).as_millis()
}

fn entry(state: Effect, mail: &Prepared, deferrals: u32, result: Value) -> Entry {
    let job_timestamp = mail.job_timestamp;
    Entry { state, message_id: mail.message_id.clone(), at: now(), job_timestamp, deferrals, stalls: 0, result }
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
