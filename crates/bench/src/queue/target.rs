//! What is to be reached, as ratios: figures of one machine say nothing on another.

use super::{
    peer::{Peer, Sample},
    work::Work,
};

/// A figure of a sample.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Figure {
    /// Jobs a second: more is better.
    Rate,
    /// Processor time of Redis a job: less is better.
    Cpu,
}

/// Ours divided by a peer's.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target {
    pub(crate) work: Work,
    pub(crate) figure: Figure,
    pub(crate) peer: Peer,
    pub(crate) ratio: f64,
}

/// Memory of our worker in [`Work::Run(5)`](Work), in MB.
pub(crate) const MEMORY_MB: f64 = 20.0;

pub(crate) const TARGETS: &[Target] = &[
    rate(Work::Add(1), Peer::Bullmq5, 1.4),
    rate(Work::Add(1), Peer::Bullmq6, 1.4),
    rate(Work::Add(1), Peer::BullmqOfficial, 1.15),
    rate(Work::Add(50), Peer::Bullmq5, 2.5),
    rate(Work::Add(50), Peer::Bullmq6, 2.5),
    rate(Work::Add(50), Peer::BullmqOfficial, 1.4),
    rate(Work::Bulk(100), Peer::Bullmq5, 4.0),
    rate(Work::Bulk(100), Peer::Bullmq6, 4.0),
    rate(Work::Bulk(100), Peer::BullmqOfficial, 2.7),
    rate(Work::Run(5), Peer::Bullmq5, 1.4),
    rate(Work::Run(5), Peer::Bullmq6, 1.4),
    rate(Work::Run(5), Peer::BullmqOfficial, 1.4),
    rate(Work::Run(50), Peer::Bullmq5, 2.5),
    rate(Work::Run(50), Peer::Bullmq6, 2.5),
    rate(Work::Run(50), Peer::BullmqOfficial, 1.9),
    Target { work: Work::Run(50), figure: Figure::Cpu, peer: Peer::BullmqOfficial, ratio: 0.5 },
];

const fn rate(work: Work, peer: Peer, ratio: f64) -> Target {
    Target { work, figure: Figure::Rate, peer, ratio }
}

impl Figure {
    pub(crate) fn of(self, sample: &Sample) -> f64 {
        match self {
            Self::Rate => sample.rate,
            Self::Cpu => sample.cpu_us,
        }
    }
}

impl Target {
    pub(crate) fn is_reached_by(&self, ratio: f64) -> bool {
        match self.figure {
            Figure::Rate => ratio >= self.ratio,
            Figure::Cpu => ratio <= self.ratio,
        }
    }

    /// The target in words.
    pub(crate) fn wanted(&self) -> String {
        match self.figure {
            Figure::Rate => format!(">= {:.2}", self.ratio),
            Figure::Cpu => format!("<= {:.2}", self.ratio),
        }
    }
}
