//! How many mails were sent, failed and deferred.

use examhall_core::Timestamp;
use examhall_delivery::{Deploy, HistoryStep, MailBucket};

use crate::{http::problem::Problem, state::State};

/// Counts of a time, and the versions that were deployed in it.
pub(crate) struct History {
    pub(crate) step: HistoryStep,
    /// Start of the first bucket, and end of the last.
    pub(crate) from: Timestamp,
    pub(crate) to: Timestamp,
    /// Buckets in which something happened, oldest first.
    pub(crate) buckets: Vec<(Timestamp, MailBucket)>,
    pub(crate) deploys: Vec<Deploy>,
}

/// Reads the last 24 hours by minute, or 14 days by hour.
///
/// # Errors
/// Where Redis is away.
pub(crate) async fn read(state: &State, step: HistoryStep) -> Result<History, Problem> {
    let now = state.queue.now_ms();
    let end = (now.div_euclid(step.millis()) + 1) * step.millis();
    let (from, to) = (Timestamp::from_millis(end - step.kept()), Timestamp::from_millis(end));
    let buckets = state.operations.history.read(step, from, Timestamp::from_millis(now)).await?;
    let deploys = state.operations.fleet.deploys(from).await?;
    Ok(History { step, from, to, buckets, deploys })
}
