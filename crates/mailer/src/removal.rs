//! Mails that an operator takes out of the queue.
//!
//! A mail whose job is not in the queue, and did not end there as far as the ledger says, is lost: the API queues it again.
//! So the ledger is told that this one is not to be sent. The API asks it once more before it queues a mail; one comes back
//! only where this process is killed before the ledger knows.

use std::time::Duration;

use examhall_core::EmailJob;
use examhall_delivery::{DeliveryState, Ledger, LedgerEntry};
use examhall_queue::{Queue, State};
use futures_util::future::try_join_all;
use serde_json::json;

use crate::{
    attempt::{is_in_doubt, now},
    payload::Payload,
};

/// Mails removed at a time.
const BATCH: u32 = 1000;

/// Removes one that no worker has in hand.
pub(crate) async fn remove(queue: &Queue<Payload>, ledger: &Ledger, id: &str) -> anyhow::Result<()> {
    queue.remove(id).await?;
    Ok(note(ledger, id).await?)
}

/// Removes up to `limit` of one state that are so old; gives how many there were.
pub(crate) async fn clean(
    queue: &Queue<Payload>,
    ledger: &Ledger,
    (state, older_than, limit): (State, Duration, u32),
) -> anyhow::Result<u64> {
    let mut left = limit;
    loop {
        let wanted = left.min(BATCH);
        let removed = queue.clean(state, older_than, wanted).await?;
        try_join_all(removed.iter().map(|id| note(ledger, id))).await?;
        let count = u32::try_from(removed.len()).unwrap_or(wanted);
        left = left.saturating_sub(count);
        if left == 0 || count < wanted {
            return Ok(u64::from(limit - left));
        }
    }
}

/// Notes that a mail of the API's is not sent any more, unless the ledger says how it ended.
async fn note(ledger: &Ledger, id: &str) -> Result<(), examhall_delivery::Error> {
    if !id.starts_with(EmailJob::ID_PREFIX) {
        return Ok(());
    }
    loop {
        let known = ledger.read(id).await?;
        let last = known.entry().unwrap_or(LedgerEntry { state: DeliveryState::Deferred, ..LedgerEntry::default() });
        if matches!(last.state, DeliveryState::Accepted | DeliveryState::Refused | DeliveryState::Held) {
            return Ok(());
        }
        let (in_doubt, result) = (is_in_doubt(&last), json!("removed by an operator"));
        let removed = LedgerEntry { state: DeliveryState::Refused, at: now(), in_doubt, result, ..last };
        if ledger.replace(id, &known, &removed).await?.is_some() {
            return Ok(());
        }
    }
}
