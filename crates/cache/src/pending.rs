//! Invalidations that Redis has not confirmed, or may lose in a failover.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

/// How long an invalidation is repeated to a Redis that may have lost it in a failover.
const RECENT: Duration = Duration::from_mins(1);

/// Invalidations of this process that are unconfirmed or recent.
#[derive(Default)]
pub(crate) struct PendingInvalidations {
    unconfirmed: Mutex<BTreeSet<String>>,
    recent: Mutex<VecDeque<(Instant, String)>>,
    added: Notify,
}

impl PendingInvalidations {
    /// Returns whether Redis may still hold a value that was invalidated here.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.unconfirmed.lock().contains(name)
    }

    pub(crate) fn unconfirmed(&self) -> Vec<String> {
        self.unconfirmed.lock().iter().cloned().collect()
    }

    /// Waits for an unconfirmed invalidation.
    pub(crate) async fn added(&self) {
        self.added.notified().await;
    }

    pub(crate) fn add_recent(&self, name: &str) {
        self.pruned_recent().push_back((Instant::now(), name.to_owned()));
    }

    /// Returns the keys that were invalidated here within the last minute.
    pub(crate) fn recent(&self) -> Vec<String> {
        self.pruned_recent().iter().map(|(_, name)| name.clone()).collect()
    }

    fn pruned_recent(&self) -> MutexGuard<'_, VecDeque<(Instant, String)>> {
        let mut recent = self.recent.lock();
        while recent.front().is_some_and(|(since, _)| since.elapsed() > RECENT) {
            recent.pop_front();
        }
        recent
    }

    /// Records the result of an invalidation in Redis.
    pub(crate) fn record(&self, name: &str, is_confirmed: bool) {
        let mut unconfirmed = self.unconfirmed.lock();
        if is_confirmed {
            unconfirmed.remove(name);
        } else {
            unconfirmed.insert(name.to_owned());
            self.added.notify_one();
        }
        let count = u32::try_from(unconfirmed.len()).unwrap_or(u32::MAX);
        metrics::gauge!("cache_invalidation_pending").set(f64::from(count));
    }
}
