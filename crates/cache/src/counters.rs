//! Counts what a cache does, for its statistics and for a metrics recorder.

use std::sync::atomic::{AtomicU64, Ordering};

/// How a read was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Memory,
    Redis,
    Negative,
    Loaded,
    Joined,
    Stale,
    Bypass,
    Error,
}

/// Counts what a cache does.
#[derive(Default)]
pub(crate) struct Counters {
    reads: [AtomicU64; 8],
    pub(crate) loads: AtomicU64,
    pub(crate) failed_loads: AtomicU64,
}

impl Outcome {
    /// Returns it as the label `outcome` of metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Memory => "l1",
            Self::Redis => "l2",
            Self::Negative => "negative",
            Self::Loaded => "loaded",
            Self::Joined => "joined",
            Self::Stale => "stale",
            Self::Bypass => "bypass",
            Self::Error => "error",
        }
    }
}

impl Counters {
    pub(crate) fn read(&self, outcome: Outcome) {
        self.reads[outcome as usize].fetch_add(1, Ordering::Relaxed);
        if outcome == Outcome::Memory {
            // This metric's key is built at compile time, since it is counted on every hit.
            metrics::counter!("cache_requests_total", "outcome" => "l1").increment(1);
            return;
        }
        metrics::counter!("cache_requests_total", "outcome" => outcome.name()).increment(1);
    }

    pub(crate) fn load(&self, has_failed: bool) {
        self.loads.fetch_add(1, Ordering::Relaxed);
        self.failed_loads.fetch_add(has_failed.into(), Ordering::Relaxed);
    }

    pub(crate) fn reads(&self, outcome: Outcome) -> u64 {
        self.reads[outcome as usize].load(Ordering::Relaxed)
    }
}
