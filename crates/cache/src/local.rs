//! L1: the process's own memory. It answers only while it is certain to receive every invalidation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

use crate::entry::Entry;

/// How long memory may answer after the link to Redis was last proven.
pub(crate) const PROOF: Duration = Duration::from_secs(2);

pub(crate) struct Local {
    entries: Cache<Arc<str>, LocalEntry>,
    started: Instant,
    /// Increases whenever an invalidation may have been missed: entries of an older epoch are not served.
    epoch: AtomicU64,
    /// End of the link's proof, in ms after `started`.
    proven_until: AtomicU64,
}

/// What makes it safe to serve an entry from memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Basis {
    /// The link: an invalidation would arrive.
    Link,
    /// A short time to live.
    Ttl,
}

#[derive(Clone)]
pub(crate) struct LocalEntry {
    pub(crate) entry: Arc<Entry>,
    pub(crate) until: Instant,
    /// Epoch in which it was read.
    pub(crate) epoch: u64,
    pub(crate) basis: Basis,
}

impl Local {
    /// Creates a level of at most this many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh =
            |key: &Arc<str>, kept: &LocalEntry| u32::try_from(key.len() + kept.entry.size()).unwrap_or(u32::MAX);
        Self {
            entries: Cache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .eviction_listener(|_, _, cause| {
                    if cause.was_evicted() {
                        metrics::counter!("cache_l1_evictions").increment(1);
                    }
                })
                .build(),
            started: Instant::now(),
            epoch: AtomicU64::new(0),
            proven_until: AtomicU64::new(0),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        let kept = self.entries.get(key)?;
        let now = Instant::now();
        let is_current = kept.epoch == self.epoch() && now < kept.until;
        let is_safe = kept.basis == Basis::Ttl || self.is_proven(now);
        (is_current && is_safe).then_some(kept.entry)
    }

    pub(crate) fn insert(&self, key: Arc<str>, entry: LocalEntry) {
        self.entries.insert(key, entry);
    }

    pub(crate) fn remove(&self, key: &str) {
        self.entries.invalidate(key);
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Removes everything: an invalidation may have been missed.
    pub(crate) fn begin_epoch(&self, cause: &'static str) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.suspend();
        self.entries.invalidate_all();
        metrics::counter!("cache_epoch_total", "cause" => cause).increment(1);
    }

    /// Stops answering until the link is proven again.
    pub(crate) fn suspend(&self) {
        self.proven_until.store(0, Ordering::SeqCst);
        metrics::gauge!("cache_l1_live").set(0.0);
    }

    /// Records that a heartbeat sent at this moment has proven the link.
    pub(crate) fn prove(&self, sent_at: Instant) {
        let until = sent_at.duration_since(self.started) + PROOF;
        self.proven_until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    pub(crate) fn is_proven(&self, now: Instant) -> bool {
        now.duration_since(self.started).as_millis() < u128::from(self.proven_until.load(Ordering::SeqCst))
    }

    /// Publishes its size as metrics.
    pub(crate) fn publish(&self) {
        self.entries.run_pending_tasks();
        for (name, number) in
            [("cache_l1_bytes", self.entries.weighted_size()), ("cache_l1_entries", self.entries.entry_count())]
        {
            metrics::gauge!(name).set(f64::from(u32::try_from(number).unwrap_or(u32::MAX)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::profile;

    #[test]
    fn memory_stays_within_its_limit() {
        let local = Local::new(1024 * 1024);
        for n in 0..1_000 {
            let entry = Arc::new(profile(&"x".repeat(20_000)));
            let entry = LocalEntry { entry, until: Instant::now() + PROOF * 30, epoch: 0, basis: Basis::Ttl };
            local.insert(format!("exam:{n}").into(), entry);
        }
        local.entries.run_pending_tasks();
        assert!(local.entries.weighted_size() <= 1024 * 1024);
        let kept = (0..1_000).filter(|n| local.get(&format!("exam:{n}")).is_some()).count();
        assert!((20..=52).contains(&kept), "{kept} of 20 KB each");
    }
}
