//! The note in the ledger that a mail is about to be sent.

use examhall_queue::{Entry, Job, Ledger};
use tokio::sync::OnceCell;

use crate::{end::End, payload::Payload};

/// Written once, however many servers are asked to take the mail.
pub(crate) struct Intent<'a> {
    job: &'a Job<Payload>,
    ledger: &'a Ledger,
    entry: Entry,
    noted: OnceCell<Result<(), End>>,
}

impl<'a> Intent<'a> {
    pub(crate) fn new(job: &'a Job<Payload>, ledger: &'a Ledger, entry: Entry) -> Self {
        Self { job, ledger, entry, noted: OnceCell::new() }
    }

    /// Writes it, unless that was tried before.
    ///
    /// # Errors
    /// How the attempt ends instead: nothing may be sent.
    pub(crate) async fn note(&self) -> Result<(), End> {
        self.noted.get_or_init(|| self.write()).await.clone()
    }

    /// Whether it may stand in the ledger.
    pub(crate) fn may_stand(&self) -> bool {
        self.noted.get().is_some_and(|noted| *noted != Err(End::Returned))
    }

    async fn write(&self) -> Result<(), End> {
        if self.job.claim.is_lost() {
            tracing::warn!(job_id = self.job.id, "Another worker may have the mail: not sent by this one");
            return Err(End::Returned);
        }
        match self.ledger.put(&self.job.id, &self.entry).await {
            Ok(true) => Ok(()),
            Ok(false) => Err(End::Returned), // another worker has sent it meanwhile
            Err(error) => Err(End::redis_trouble(&error)),
        }
    }
}
