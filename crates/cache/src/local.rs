//! The level in the process's own memory. It answers only while it is sure to hear of every change.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use moka::sync::Cache;

use crate::entry::Entry;

/// How long it may answer after the link to Redis was last proven.
pub(crate) const PROOF: Duration = Duration::from_secs(2);

/// Entries in memory.
pub(crate) struct Local {
    entries: Cache<Arc<str>, Kept>,
    started: Instant,
    /// One up whenever an invalidation may have been missed: what was kept before counts no more.
    epoch: AtomicU64,
    /// Until when the link is proven, in ms after `started`.
    proven_until: AtomicU64,
}

/// Why something may be kept in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warrant {
    /// The link: an invalidation will be heard of.
    Link,
    /// Nothing: it is short-lived.
    Brevity,
}

#[derive(Clone)]
struct Kept {
    entry: Arc<Entry>,
    until: Instant,
    epoch: u64,
    warrant: Warrant,
}

impl Local {
    /// With room for this many bytes.
    pub(crate) fn new(bytes: u64) -> Self {
        let weigh = |key: &Arc<str>, kept: &Kept| u32::try_from(key.len() + kept.entry.size()).unwrap_or(u32::MAX);
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
        let is_safe = kept.warrant == Warrant::Brevity || self.is_proven(now);
        (is_current && is_safe).then_some(kept.entry)
    }

    /// Keeps what was read in `epoch`.
    pub(crate) fn keep(&self, key: &Arc<str>, entry: &Arc<Entry>, until: Instant, warrant: Warrant, epoch: u64) {
        self.entries.insert(Arc::clone(key), Kept { entry: Arc::clone(entry), until, epoch, warrant });
    }

    pub(crate) fn remove(&self, key: &str) {
        self.entries.invalidate(key);
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// Forgets everything: an invalidation may have been missed.
    pub(crate) fn begin_epoch(&self, cause: &'static str) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        self.doubt();
        self.entries.invalidate_all();
        metrics::counter!("cache_epoch_total", "cause" => cause).increment(1);
    }

    /// Does not answer before the link is proven again.
    pub(crate) fn doubt(&self) {
        self.proven_until.store(0, Ordering::SeqCst);
        metrics::gauge!("cache_l1_live").set(0.0);
    }

    /// The link was proven by what was sent at this moment.
    pub(crate) fn prove(&self, sent_at: Instant) {
        let until = sent_at.duration_since(self.started) + PROOF;
        self.proven_until.store(u64::try_from(until.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }

    pub(crate) fn is_proven(&self, now: Instant) -> bool {
        now.duration_since(self.started).as_millis() < u128::from(self.proven_until.load(Ordering::SeqCst))
    }

    pub(crate) fn measure(&self) {
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
    fn memory_holds_no_more_bytes_than_it_may() {
        let local = Local::new(1024 * 1024);
        for n in 0..1_000 {
            let key = format!("exam:{n}").into();
            local.keep(&key, &Arc::new(profile(&"x".repeat(20_000))), Instant::now() + PROOF, Warrant::Brevity, 0);
        }
        local.entries.run_pending_tasks();
        assert!(local.entries.weighted_size() <= 1024 * 1024);
        let kept = (0..1_000).filter(|n| local.get(&format!("exam:{n}")).is_some()).count();
        assert!((20..=52).contains(&kept), "{kept} of 20 KB each");
    }
}
