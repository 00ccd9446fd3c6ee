//! Outcomes on their way to the ledger.

use std::time::{Duration, Instant};

use examhall_delivery::{Error, Ledger, LedgerEntry, LedgerVersion};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// After so long an operator is told.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two tries: short, so that once Redis is back an outcome is written before the job is given to another worker.
const PAUSE: Duration = Duration::from_millis(100);
/// What a stopping mailer still waits, after its worker has waited for its jobs.
const LAST_CHANCE: Duration = Duration::from_secs(5);

/// Writes outcomes without anybody waiting for it. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Outcomes {
    ledger: Ledger,
    writing: TaskTracker,
}

impl Outcomes {
    pub(crate) fn new(ledger: Ledger) -> Self {
        Self { ledger, writing: TaskTracker::new() }
    }

    /// Sends the outcome to Redis before returning, without waiting for the answer. What is sent to the same Redis
    /// later, such as the end of the job, is done after it: no job ends whose outcome is not written.
    ///
    /// It replaces only what is `known`, or where that is absent whatever stands. While Redis is away it is tried again,
    /// until [`finish`](Self::finish): a mail of which this process alone knows that it was accepted would be sent twice.
    pub(crate) async fn write(&self, job_id: &str, known: Option<&LedgerVersion>, outcome: LedgerEntry) {
        let mut writing = Box::pin(write(self.ledger.clone(), job_id.to_owned(), known.cloned(), outcome));
        tokio::select! {
            biased; // the first poll is what sends it
            () = &mut writing => {}
            () = std::future::ready(()) => drop(self.writing.spawn(writing)),
        }
    }

    /// Waits until everything is written, for a little while.
    pub(crate) async fn finish(&self) {
        self.writing.close();
        let _ = timeout(LAST_CHANCE, self.writing.wait()).await; // what is left, an operator was told of meanwhile
    }
}

async fn write(ledger: Ledger, job_id: String, known: Option<LedgerVersion>, outcome: LedgerEntry) {
    let mut tell_at = Some(Instant::now() + PATIENCE);
    while let Err(error) = try_to_write(&ledger, &job_id, known.as_ref(), &outcome).await {
        if tell_at.take_if(|at| *at < Instant::now()).is_some() {
            tracing::error!(job_id, %error, "Outcome could not be written to the ledger");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn try_to_write(
    ledger: &Ledger,
    job_id: &str,
    known: Option<&LedgerVersion>,
    outcome: &LedgerEntry,
) -> Result<(), Error> {
    match known {
        Some(known) => ledger.replace(job_id, known, outcome).await.map(drop),
        None => ledger.put(job_id, outcome).await,
    }
}
