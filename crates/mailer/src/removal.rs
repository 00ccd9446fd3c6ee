//! Removal of mails by an operator.
//!
//! A mail whose job is not in the queue, and whose outcome is not in the ledger, counts as lost: the API queues it again.
//! So the ledger records that a removed mail is not to be sent. The API reads the ledger once more before it queues a mail;
//! a removed mail comes back only if this process is killed before it has written to the ledger.

use std::time::Duration;

use examhall_core::EmailJob;
use examhall_delivery::Ledger;
use examhall_queue::{Queue, State};
use futures_util::future::try_join_all;

use crate::{clock::now, payload::Payload};

/// Mails removed at a time.
const BATCH: u32 = 1000;

/// The mails that [`clean`] removes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CleanOptions {
    pub(crate) state: State,
    /// Smallest age.
    pub(crate) older_than: Duration,
    /// Largest number of mails.
    pub(crate) limit: u32,
}

/// Removes a mail that is not in flight.
pub(crate) async fn remove(queue: &Queue<Payload>, ledger: &Ledger, id: &str) -> anyhow::Result<()> {
    queue.remove(id).await?;
    Ok(record(ledger, id).await?)
}

/// Removes old mails of one state; returns their number.
pub(crate) async fn clean(queue: &Queue<Payload>, ledger: &Ledger, options: CleanOptions) -> anyhow::Result<u64> {
    let CleanOptions { state, older_than, limit } = options;
    let mut left = limit;
    loop {
        let wanted = left.min(BATCH);
        let removed = queue.clean(state, older_than, wanted).await?;
        try_join_all(removed.iter().map(|id| record(ledger, id))).await?;
        let count = u32::try_from(removed.len()).unwrap_or(wanted);
        left = left.saturating_sub(count);
        if left == 0 || count < wanted {
            return Ok(u64::from(limit - left));
        }
    }
}

/// Records that one of the API's mails is not sent any more, unless its outcome is in the ledger.
async fn record(ledger: &Ledger, id: &str) -> Result<(), examhall_delivery::Error> {
    if id.starts_with(EmailJob::ID_PREFIX) { ledger.put_removed(id, now()).await } else { Ok(()) }
}
