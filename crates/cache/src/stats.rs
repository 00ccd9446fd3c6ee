//! What a cache has done so far, with or without a metrics recorder.

use std::sync::atomic::Ordering;

use crate::{Cache, counters::Outcome, local::Local};

/// What a cache of this process has done since it was opened, and what it holds; see [`Cache::stats`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// Reads that the process's own memory has answered.
    pub memory_hits: u64,
    /// Reads that Redis has answered.
    pub redis_hits: u64,
    /// Reads that were answered by the fact, which was cached, that there is no value.
    pub negative_hits: u64,
    /// Reads that have loaded, under a lease of Redis if there is Redis.
    pub loaded: u64,
    /// Reads that have waited for another reader's.
    pub joined: u64,
    /// Reads that were answered by a stale value.
    pub stale: u64,
    /// Reads that have loaded without a lease: Redis was down, or a change was being committed.
    pub bypassed: u64,
    /// Reads that have failed.
    pub errors: u64,
    /// Loads that have ended, also in the background.
    pub loads: u64,
    /// Those that have failed.
    pub failed_loads: u64,
    /// Readers that wait now.
    pub waiting: u64,
    /// Entries in the process's own memory now.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl Cache {
    /// Returns what the cache has done since it was opened, and what its memory holds. The counts are those of
    /// `cache_requests_total`, and are there without a metrics recorder. Cheap enough for each second, not for each read.
    pub fn stats(&self) -> Stats {
        let (counters, (entries, bytes)) =
            (&self.inner.counters, self.inner.local.as_ref().map_or((0, 0), Local::size));
        Stats {
            memory_hits: counters.reads(Outcome::Memory),
            redis_hits: counters.reads(Outcome::Redis),
            negative_hits: counters.reads(Outcome::Negative),
            loaded: counters.reads(Outcome::Loaded),
            joined: counters.reads(Outcome::Joined),
            stale: counters.reads(Outcome::Stale),
            bypassed: counters.reads(Outcome::Bypass),
            errors: counters.reads(Outcome::Error),
            loads: counters.loads.load(Ordering::Relaxed),
            failed_loads: counters.failed_loads.load(Ordering::Relaxed),
            waiting: self.inner.flights.waiting.load(Ordering::Relaxed) as u64,
            entries,
            bytes,
        }
    }
}

impl Stats {
    /// Returns the number of reads that have ended.
    pub fn reads(&self) -> u64 {
        self.hits() + self.loaded + self.joined + self.bypassed + self.errors
    }

    /// Returns the part of them that needed no load, of this reader or another one; 0 if there were none.
    #[expect(clippy::cast_precision_loss, reason = "a ratio of counts")]
    pub fn hit_ratio(&self) -> f64 {
        if self.reads() == 0 { 0.0 } else { self.hits() as f64 / self.reads() as f64 }
    }

    fn hits(&self) -> u64 {
        self.memory_hits + self.redis_hits + self.negative_hits + self.stale
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hit_ratio_counts_what_needed_no_load() {
        assert!(Stats::default().hit_ratio().abs() < f64::EPSILON);
        let stats = Stats { memory_hits: 4, redis_hits: 2, stale: 1, negative_hits: 1, ..Stats::default() };
        assert!((stats.hit_ratio() - 1.0).abs() < f64::EPSILON);
        let stats = Stats { loaded: 3, joined: 2, bypassed: 2, errors: 1, ..stats };
        assert_eq!(stats.reads(), 16);
        assert!((stats.hit_ratio() - 0.5).abs() < f64::EPSILON);
    }
}
