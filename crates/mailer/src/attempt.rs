//! One attempt to send a mail, and its entry in the delivery ledger.

use std::time::Instant;

use examhall_core::Timestamp;
use examhall_delivery::{AttemptNote, DeliveryState, Ledger, LedgerEntry, LedgerVersion};
use examhall_queue::{Job, Queue};
use serde_json::Value;
use tokio::sync::OnceCell;

use crate::{attempt_outcome::AttemptOutcome, message::PreparedMail, payload::Payload};

/// An attempt. Its intent is written once, even if several servers are tried.
pub(crate) struct Attempt<'a> {
    pub(crate) job: &'a Job<Payload>,
    pub(crate) mail: &'a PreparedMail,
    /// How often the mail was deferred without spending an attempt.
    pub(crate) deferrals: u32,
    /// Whether an earlier attempt may have delivered the mail.
    pub(crate) in_doubt: bool,
    ledger: &'a Ledger,
    queue: &'a Queue<Payload>,
    known: LedgerVersion,
    intent: OnceCell<IntentRecord>,
    started: Instant,
}

/// The ledger's version after the intent was written, and why nothing may be sent, if so.
struct IntentRecord {
    version: LedgerVersion,
    abort: Option<AttemptOutcome>,
}

impl<'a> Attempt<'a> {
    /// An attempt that begins with the `known` version of the ledger.
    pub(crate) fn new(
        job: &'a Job<Payload>,
        mail: &'a PreparedMail,
        ledger: &'a Ledger,
        known: LedgerVersion,
        queue: &'a Queue<Payload>,
    ) -> Self {
        let last = known.entry().filter(|entry| is_of(job, entry));
        let deferrals = last.as_ref().map_or(0, |entry| entry.deferrals);
        let in_doubt = last.as_ref().is_some_and(is_in_doubt);
        Self { job, mail, deferrals, in_doubt, ledger, queue, known, intent: OnceCell::new(), started: Instant::now() }
    }

    /// The job's entry when the attempt began.
    pub(crate) fn known(&self) -> Option<LedgerEntry> {
        self.known.entry().filter(|entry| is_of(self.job, entry))
    }

    /// Notes in the job's log, for operators, that no server accepted the mail, and why.
    pub(crate) async fn note(&self, provider: &str, reason: &str) {
        let note = AttemptNote {
            at: Timestamp::from_millis(self.queue.now_ms()),
            attempt: self.job.attempts_made + 1,
            provider: provider.to_owned(),
            ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
            reason: reason.to_owned(),
        };
        if let Err(error) = self.job.claim.log(&note.to_string()).await {
            tracing::debug!(job_id = self.job.id, %error, "The job's log could not be written");
        }
    }

    /// A new entry of this attempt.
    pub(crate) fn entry(&self, state: DeliveryState) -> LedgerEntry {
        LedgerEntry {
            state,
            message_id: self.mail.message_id.clone(),
            at: self.queue.now_ms(),
            job_timestamp: self.mail.job_timestamp,
            date: Some(self.mail.date),
            in_doubt: self.in_doubt,
            deferrals: self.deferrals,
            stalls: 0,
            result: Value::Null,
            reports: Vec::new(),
        }
    }

    /// Writes the intent to send the mail, unless this attempt did so before.
    ///
    /// # Errors
    /// Returns how the attempt ends if nothing may be sent.
    pub(crate) async fn write_intent(&self) -> Result<(), AttemptOutcome> {
        self.intent.get_or_init(|| self.replace_with_intent()).await.abort.clone().map_or(Ok(()), Err)
    }

    /// Returns whether the intent is written, or may be.
    pub(crate) fn has_intent(&self) -> bool {
        *self.version() != self.known
    }

    /// The ledger's version, as far as this worker knows.
    pub(crate) fn version(&self) -> &LedgerVersion {
        self.intent.get().map_or(&self.known, |record| &record.version)
    }

    async fn replace_with_intent(&self) -> IntentRecord {
        let intent = self.entry(DeliveryState::Intent);
        let written = if self.job.claim.is_lost() {
            Ok(None)
        } else {
            self.ledger.replace(&self.job.id, &self.known, &intent).await
        };
        match written {
            Ok(Some(version)) => IntentRecord { version, abort: None },
            Ok(None) => {
                tracing::warn!(job_id = self.job.id, "Another worker may have the mail: not sent by this one");
                IntentRecord { version: self.known.clone(), abort: Some(AttemptOutcome::Released) }
            }
            // It may have been written, and the answer lost or late.
            Err(error) => IntentRecord {
                version: LedgerVersion::of(&intent).unwrap_or_else(|_| self.known.clone()),
                abort: Some(error.into()),
            },
        }
    }
}

/// Returns whether an entry is of this very job: an id may be used again once its job was removed.
pub(crate) fn is_of(job: &Job<Payload>, entry: &LedgerEntry) -> bool {
    entry.job_timestamp.is_none_or(|then| then == job.timestamp)
}

/// Returns whether this attempt or an earlier one may have delivered the mail.
pub(crate) fn is_in_doubt(entry: &LedgerEntry) -> bool {
    entry.in_doubt || matches!(entry.state, DeliveryState::Intent | DeliveryState::Held)
}
