//! L1: the process's own memory. It answers only while it is certain to receive every invalidation.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_redis::{SLOTS, SlotSet};
use moka::{Expiry, notification::RemovalCause, sync::Cache};
use parking_lot::Mutex;

use crate::{
    entry::Entry,
    group::is_group,
    members::{Members, Membership},
};

/// Size from which an inserted entry makes room for itself at once, in bytes.
const LARGE: usize = 16 * 1024;

pub(crate) struct Local {
    pub(crate) members: Members,
    entries: Cache<Arc<str>, LocalEntry>,
    /// How long it may answer after the link to Redis was last proven.
    proof: Duration,
    /// Largest entry that is kept, in bytes.
    max_entry: usize,
    started: Instant,
    /// Of each slot of a cluster; one for all keys otherwise.
    slots: Box<[SlotState]>,
    /// How often an epoch has begun, and the last time.
    epochs: Mutex<(u64, Option<Epoch>)>,
}

/// Whether memory may answer for the keys of a slot.
#[derive(Default)]
struct SlotState {
    /// Increases whenever an invalidation may have been missed: entries of an older epoch are not served.
    epoch: AtomicU64,
    /// End of its link's proof, in ms after [`Local::started`].
    proven_until: AtomicU64,
}

/// A time at which memory was cleared, since an invalidation may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// The label `cause` of `cache_epoch_total`.
    pub cause: &'static str,
    /// When.
    pub at: Instant,
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
    /// Slot of its key, 0 without a cluster.
    pub(crate) slot: u16,
    /// Epoch of the slot in which it was read.
    pub(crate) epoch: u64,
    pub(crate) basis: Basis,
    /// Its groups, if it has any.
    pub(crate) membership: Option<Membership>,
}

/// Frees the memory of entries that have ended.
struct UntilEnd;

impl Expiry<Arc<str>, LocalEntry> for UntilEnd {
    fn expire_after_create(&self, _: &Arc<str>, kept: &LocalEntry, now: Instant) -> Option<Duration> {
        Some(kept.until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        _: &Arc<str>,
        kept: &LocalEntry,
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(kept.until.saturating_duration_since(now))
    }
}

impl Local {
    /// Creates a level of at most this many bytes, for all slots of a cluster or one.
    pub(crate) fn new(bytes: u64, proof: Duration, is_cluster: bool) -> Self {
        let weigh =
            |key: &Arc<str>, kept: &LocalEntry| u32::try_from(key.len() + kept.entry.size()).unwrap_or(u32::MAX);
        Self {
            members: Members::default(),
            entries: Cache::builder()
                .max_capacity(bytes)
                .weigher(weigh)
                .expire_after(UntilEnd)
                .eviction_listener(|_, _, cause| {
                    if cause == RemovalCause::Size {
                        metrics::counter!("cache_l1_evictions").increment(1);
                    }
                })
                .build(),
            proof,
            max_entry: usize::try_from(bytes / 4).unwrap_or(usize::MAX),
            started: Instant::now(),
            slots: (0..if is_cluster { SLOTS } else { 1 }).map(|_| SlotState::default()).collect(),
            epochs: Mutex::default(),
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        let kept = self.entries.get(key)?;
        let now = Instant::now();
        let is_current = kept.epoch == self.epoch(kept.slot) && now < kept.until;
        let is_safe = kept.basis == Basis::Ttl || self.is_proven(kept.slot, now);
        let is_member = kept.membership.as_ref().is_none_or(Membership::is_valid);
        (is_current && is_safe && is_member).then_some(kept.entry)
    }

    pub(crate) fn insert(&self, key: Arc<str>, entry: LocalEntry) {
        self.entries.insert(key, entry);
    }

    /// Returns whether it is small enough to be kept: a quarter of memory at most.
    pub(crate) fn fits(&self, entry: &Entry) -> bool {
        entry.size() <= self.max_entry
    }

    /// Makes room for a large entry that was inserted; for small ones that is done for many at once.
    pub(crate) fn make_room_for(&self, entry: &Entry) {
        if entry.size() >= LARGE {
            self.entries.run_pending_tasks();
        }
    }

    /// Removes a key, or the keys of a group.
    pub(crate) fn remove(&self, name: &str) {
        if is_group(name) {
            self.members.invalidate(name);
        }
        self.entries.invalidate(name);
    }

    pub(crate) fn epoch(&self, slot: u16) -> u64 {
        self.slots.get(usize::from(slot)).map_or(0, |slot| slot.epoch.load(Ordering::SeqCst))
    }

    /// Removes everything in these slots: an invalidation may have been missed.
    pub(crate) fn begin_epoch(&self, slots: &SlotSet, cause: &'static str) {
        for slot in self.states(slots) {
            slot.epoch.fetch_add(1, Ordering::SeqCst);
        }
        self.suspend(slots);
        if self.slots.len() == 1 {
            self.entries.invalidate_all(); // in a cluster, entries of an older epoch leave when they end
        }
        metrics::counter!("cache_epoch_total", "cause" => cause).increment(1);
        let mut epochs = self.epochs.lock();
        *epochs = (epochs.0 + 1, Some(Epoch { cause, at: Instant::now() }));
    }

    /// Returns how often an epoch has begun, and the last time.
    pub(crate) fn epochs(&self) -> (u64, Option<Epoch>) {
        *self.epochs.lock()
    }

    /// Stops answering for these slots until their link is proven again.
    pub(crate) fn suspend(&self, slots: &SlotSet) {
        for slot in self.states(slots) {
            slot.proven_until.store(0, Ordering::SeqCst);
        }
        metrics::gauge!("cache_l1_live").set(0.0);
    }

    /// Records that a heartbeat sent at this moment has proven the link of these slots.
    pub(crate) fn prove(&self, slots: &SlotSet, sent_at: Instant) {
        let until = sent_at.duration_since(self.started) + self.proof;
        let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
        for slot in self.states(slots) {
            slot.proven_until.store(until, Ordering::SeqCst);
        }
    }

    fn states(&self, slots: &SlotSet) -> impl Iterator<Item = &SlotState> {
        self.slots.iter().zip(0..).filter(|(_, slot)| slots.contains(*slot)).map(|(state, _)| state)
    }

    fn is_proven(&self, slot: u16, now: Instant) -> bool {
        let until = self.slots.get(usize::from(slot)).map_or(0, |slot| slot.proven_until.load(Ordering::SeqCst));
        now.duration_since(self.started).as_millis() < u128::from(until)
    }

    /// Publishes its size as metrics.
    pub(crate) fn publish(&self) {
        let (entries, bytes) = self.size();
        for (name, number) in [("cache_l1_bytes", bytes), ("cache_l1_entries", entries)] {
            metrics::gauge!(name).set(f64::from(u32::try_from(number).unwrap_or(u32::MAX)));
        }
    }

    /// Returns the number of living entries, and their bytes.
    pub(crate) fn size(&self) -> (u64, u64) {
        self.entries.run_pending_tasks();
        (self.entries.entry_count(), self.entries.weighted_size())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::tests::profile;

    const PROOF: Duration = Duration::from_secs(2);

    fn kept(name: &str, span: Duration, slot: u16) -> LocalEntry {
        let (entry, until) = (Arc::new(profile(name)), Instant::now() + span);
        LocalEntry { entry, until, slot, epoch: 0, basis: Basis::Ttl, membership: None }
    }

    #[test]
    fn memory_stays_within_its_limit() {
        let local = Local::new(1024 * 1024, PROOF, false);
        for n in 0..1_000 {
            let entry = kept(&"x".repeat(20_000), PROOF * 30, 0);
            local.insert(format!("exam:{n}").into(), entry);
        }
        local.entries.run_pending_tasks();
        assert!(local.entries.weighted_size() <= 1024 * 1024);
        let kept = (0..1_000).filter(|n| local.get(&format!("exam:{n}")).is_some()).count();
        assert!((20..=52).contains(&kept), "{kept} of 20 KB each");
    }

    #[test]
    fn ended_entries_leave_memory() {
        let local = Local::new(1024 * 1024, PROOF, false);
        let keep = |key: &str, span| {
            let entry = kept("Ada", span, 0);
            local.insert(key.into(), entry);
        };
        (0..100).for_each(|n| keep(&format!("exam:{n}"), Duration::from_millis(1)));
        keep("exam:0", PROOF * 30); // replaced by one that lasts
        keep("exam:long", PROOF * 30);
        let began = Instant::now();
        while local.size() != (2, local.get("exam:0").map_or(0, |entry| 2 * entry.size() as u64 + 15)) {
            assert!(began.elapsed() < PROOF * 30, "{:?}", local.size());
            std::thread::sleep(Duration::from_millis(50)); // the interval of a poll
        }
    }

    #[test]
    fn new_epoch_of_a_slot_leaves_the_others() {
        let local = Local::new(1024 * 1024, PROOF, true);
        let (one, both) = (SlotSet::from_iter([7]), SlotSet::from_iter([7, 8]));
        local.prove(&both, Instant::now());
        for (key, slot) in [("exam:7", 7), ("exam:8", 8), ("exam:9", 9)] {
            let entry = LocalEntry { basis: Basis::Link, ..kept("Ada", PROOF * 30, slot) };
            local.insert(key.into(), entry);
        }
        let is_kept = || ["exam:7", "exam:8", "exam:9"].map(|key| local.get(key).is_some());
        assert_eq!(is_kept(), [true, true, false], "the third slot has no link");
        local.begin_epoch(&one, "moved");
        local.prove(&both, Instant::now());
        assert_eq!(is_kept(), [false, true, false], "and what was read before is not served again");
        local.suspend(&both);
        assert_eq!(is_kept(), [false; 3]);
    }
}
