//! What becomes of a mail that was not accepted: tried again, deferred, held or failed.

use std::{sync::atomic::Ordering, time::Duration};

use examhall_delivery::{DeliveryState, FailureSignature, LedgerEntry};
use examhall_queue::Job;

use super::{SendMail, flag};
use crate::{
    attempt::Attempt,
    attempt_outcome::{AttemptOutcome, greylist_backoff},
    payload::Payload,
    smtp::{DeliveryError, FailureClass},
};

/// Shortest wait of a mail that may hinder others; the longest is twice that.
const SOON: Duration = Duration::from_secs(1);

/// Shortest wait for a rate: the queue is not asked more often.
const SHORTEST_WAIT: Duration = Duration::from_millis(50);

impl SendMail {
    /// No server accepted the mail, or it is unknown whether one did.
    pub(super) async fn failed(&self, attempt: &Attempt<'_>, error: DeliveryError) -> AttemptOutcome {
        let job = attempt.job;
        if error.class == FailureClass::PassedOver {
            return self.not_sent(attempt, AttemptOutcome::Snoozed(self.soon())).await;
        }
        if let FailureClass::RateLimited(wait) = error.class {
            tracing::debug!(job_id = job.id, reason = error.label, "Mail waits for a rate");
            // Another provider may be back before.
            let wait = self.transport.next_probe_of_any().map_or(wait, |probe| wait.min(probe));
            return self.not_sent(attempt, AttemptOutcome::Snoozed(wait.max(SHORTEST_WAIT))).await;
        }
        self.report_failure(job, &error).await;
        attempt.note(&error.provider, &error.reason).await;
        let DeliveryError { class, mut reason, signature, .. } = error;
        if attempt.in_doubt && !class.is_ambiguous() {
            reason.push_str("; an earlier try may have been delivered");
        }
        if class.is_ambiguous() {
            if !self.may_be_sent_twice(job) {
                return self.hold(attempt).await;
            }
            self.ledger_writer.mark_in_doubt(&job.id, self.queue.now_ms());
        }
        if class.spends_attempt() {
            self.recorder.explain(&job.id, FailureSignature { domain: attempt.mail.domain(), ..*signature });
        } else {
            self.recorder.deferred(self.queue.now_ms());
        }
        let outcome = match class {
            FailureClass::Ambiguous => {
                return AttemptOutcome::Ambiguous(format!("{reason}: it may have been delivered"));
            }
            FailureClass::AmbiguousDeferred => {
                return self.defer(attempt, DeliveryState::Intent, self.soon_then_greylisted(attempt)).await;
            }
            FailureClass::BrokeOff => {
                return self.defer(attempt, DeliveryState::Deferred, self.soon_then_greylisted(attempt)).await;
            }
            FailureClass::Greylisted => {
                return self.defer(attempt, DeliveryState::Deferred, greylist_backoff(attempt.deferrals)).await;
            }
            FailureClass::Provider(_) | FailureClass::PassedOver | FailureClass::RateLimited(_) => {
                AttemptOutcome::Snoozed(self.next_try())
            }
            FailureClass::Transient => AttemptOutcome::Deferred(reason),
            FailureClass::Permanent(_) => AttemptOutcome::Failed(reason),
        };
        self.not_sent(attempt, outcome).await
    }

    /// Wait of a mail that may hinder others. The first retry comes soon, but not just when a probe of the provider has
    /// succeeded; the others with backoff: recipients do not get a copy with each of them.
    fn soon_then_greylisted(&self, attempt: &Attempt<'_>) -> Duration {
        match attempt.deferrals.checked_sub(1) {
            None => self.soon(),
            Some(deferrals) => greylist_backoff(deferrals),
        }
    }

    /// A short wait, and not just until a probe of the provider succeeds.
    fn soon(&self) -> Duration {
        self.transport.next_probe().unwrap_or_default() + SOON.mul_f64(1.0 + fastrand::f64())
    }

    /// Time until a provider is expected to take mails.
    fn next_try(&self) -> Duration {
        self.transport.next_probe().unwrap_or(Duration::from_secs(1))
    }

    /// Defers the mail without spending an attempt, and counts the deferral.
    async fn defer(&self, attempt: &Attempt<'_>, state: DeliveryState, wait: Duration) -> AttemptOutcome {
        let entry = LedgerEntry { deferrals: attempt.deferrals + 1, ..attempt.entry(state) };
        self.ledger_writer.write(&attempt.job.id, Some(attempt.version()), entry).await;
        AttemptOutcome::Snoozed(wait)
    }

    /// Replaces the intent, if it was or may have been written, so that the mail is not in doubt.
    pub(super) async fn not_sent(&self, attempt: &Attempt<'_>, outcome: AttemptOutcome) -> AttemptOutcome {
        if attempt.has_intent() {
            let state = if matches!(outcome, AttemptOutcome::Failed(_)) {
                DeliveryState::Refused
            } else {
                DeliveryState::Deferred
            };
            self.ledger_writer.write(&attempt.job.id, Some(attempt.version()), attempt.entry(state)).await;
        }
        outcome
    }

    async fn report_failure(&self, job: &Job<Payload>, error: &DeliveryError) {
        self.health.report("smtp", if error.is_providers { Err(error.label.clone()) } else { Ok(()) });
        let possible_duplicate = error.class.is_ambiguous();
        if possible_duplicate {
            metrics::counter!("mailer_ambiguous_total").increment(1);
            self.ambiguous.fetch_add(1, Ordering::Relaxed);
            flag(job, "the server did not say whether it took the mail").await;
        }
        let attempt = job.attempts_made + 1;
        tracing::warn!(job_id = job.id, attempt, reason = error.label, possible_duplicate, "Mail not accepted");
        self.suppressions.record(&job.id, &error.provider, &error.rejected).await;
    }
}
