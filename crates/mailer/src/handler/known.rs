//! What the ledger knows of a mail, and ends without a message. Each is written before the job ends, and only if no other
//! worker has written: one that was frozen does not send what has ended.

use examhall_core::MailClass;
use examhall_delivery::{DeliveryState, LedgerEntry};
use examhall_queue::{Failure, Job, Outcome};
use serde_json::json;

use super::{SendMail, flag};
use crate::{
    attempt::{Attempt, is_in_doubt, is_of},
    attempt_outcome::AttemptOutcome,
    message::Identity,
    payload::Payload,
};

impl SendMail {
    /// The end of a job that has lost its worker too often. It is written to the ledger, so that none of these workers, if it
    /// was only frozen, sends a mail that counts as failed.
    pub(super) async fn end_of_lost(
        &self,
        job: &Job<Payload>,
        reason: String,
    ) -> Result<Outcome, examhall_delivery::Error> {
        loop {
            let version = self.ledger.read(&job.id).await?;
            let known = version.entry().filter(|entry| is_of(job, entry));
            match known {
                Some(known) if known.state.was_accepted() => return Ok(Outcome::Completed(known.result)),
                Some(known) if is_in_doubt(&known) => {
                    flag(job, "its workers died, and it may have been delivered").await;
                    self.ledger_writer.mark_in_doubt(&job.id, self.queue.now_ms());
                    return Ok(Outcome::Unrecoverable(Failure::new(format!("{reason}: it may have been delivered"))));
                }
                known => {
                    let job_timestamp = Identity { id: &job.id, timestamp: job.timestamp }.timestamp_in_ledger();
                    let last = known.unwrap_or(LedgerEntry { job_timestamp, ..LedgerEntry::default() });
                    let refused = LedgerEntry { state: DeliveryState::Refused, at: self.queue.now_ms(), ..last };
                    if self.ledger.replace(&job.id, &version, &refused).await?.is_some() {
                        return Ok(Outcome::Unrecoverable(Failure::new(reason)));
                    }
                }
            }
        }
    }

    /// Ends the attempt if the job's entry in the ledger says so.
    pub(super) async fn check_ledger(&self, attempt: &Attempt<'_>) -> Result<(), AttemptOutcome> {
        let (Some(known), job) = (attempt.known(), attempt.job) else { return Ok(()) };
        // An operator's retry: the job has not lost its worker since it was held.
        let is_decided = known.state == DeliveryState::Held && known.stalls == job.stalls;
        match known.state {
            DeliveryState::Accepted | DeliveryState::Bounced | DeliveryState::Complained => {
                tracing::info!(job_id = job.id, "Mail was accepted before: not sent again");
                Err(AttemptOutcome::Sent(known.result))
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
            // A relay that had asked the ledger before has added the job once more.
            DeliveryState::Refused if known.is_removed() => {
                Err(AttemptOutcome::Failed("removed: by an operator".into()))
            }
            DeliveryState::Held | DeliveryState::Deferred | DeliveryState::Refused => Ok(()),
        }
    }

    pub(super) fn may_be_sent_twice(&self, job: &Job<Payload>) -> bool {
        !self.hold_in_doubt || matches!(job.data.0.class, MailClass::Verification | MailClass::Reset)
    }

    /// Holds the mail until an operator's retry sends it.
    pub(super) async fn hold(&self, attempt: &Attempt<'_>) -> AttemptOutcome {
        let job = attempt.job;
        let held = LedgerEntry { stalls: job.stalls, ..attempt.entry(DeliveryState::Held) };
        let id = &job.id;
        let reason = format!("held: it may have been delivered before; `mailer queue retry {id}` sends it again");
        self.refuse(attempt, held, AttemptOutcome::Failed(reason)).await
    }

    /// Records that nobody may get the mail. A retry sends it once `MAIL_ALLOW` contains a recipient.
    pub(super) async fn withhold(&self, attempt: &Attempt<'_>) -> AttemptOutcome {
        let entry = LedgerEntry { result: json!("withheld"), ..attempt.entry(DeliveryState::Refused) };
        tracing::info!(job_id = attempt.job.id, "Mail withheld: MAIL_ALLOW contains none of its recipients");
        self.refuse(attempt, entry, AttemptOutcome::Withheld).await
    }

    /// Writes why nothing is sent, and returns that outcome: unless another worker has written meanwhile, which then has the
    /// mail.
    pub(super) async fn refuse(
        &self,
        attempt: &Attempt<'_>,
        entry: LedgerEntry,
        outcome: AttemptOutcome,
    ) -> AttemptOutcome {
        match self.ledger.replace(&attempt.job.id, attempt.version(), &entry).await {
            Ok(Some(_)) => outcome,
            Ok(None) => {
                tracing::warn!(job_id = attempt.job.id, "Another worker may have the mail: not sent by this one");
                AttemptOutcome::Released
            }
            Err(error) => error.into(),
        }
    }
}
