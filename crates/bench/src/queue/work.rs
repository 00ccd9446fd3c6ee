//! What is measured.

/// Something that every peer can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    /// Adding, with this many callers that each wait for their answer.
    Add(u32),
    /// Adding this many jobs per call, one call after the other.
    Bulk(u32),
    /// Running jobs that do nothing, in this many slots.
    Run(u32),
}

pub(crate) const WORKS: &[Work] =
    &[Work::Add(1), Work::Add(50), Work::Add(500), Work::Bulk(100), Work::Run(5), Work::Run(50), Work::Run(500)];

impl Work {
    /// As it is written on a peer's command line.
    pub(crate) fn to_args(self) -> (&'static str, u32) {
        match self {
            Self::Add(in_flight) => ("add", in_flight),
            Self::Bulk(a_call) => ("bulk", a_call),
            Self::Run(slots) => ("run", slots),
        }
    }

    /// The Redis command that reports how many jobs of the queue it has been done for.
    pub(crate) fn done_by(self, queue: &str) -> String {
        match self {
            Self::Add(_) | Self::Bulk(_) => format!("LLEN bull:{queue}:wait"),
            Self::Run(_) => format!("ZCARD bull:{queue}:completed"),
        }
    }

    /// The other way round.
    pub(crate) fn from_args(name: &str, width: u32) -> Option<Self> {
        [Self::Add(width), Self::Bulk(width), Self::Run(width)].into_iter().find(|work| work.to_args().0 == name)
    }
}

impl std::fmt::Display for Work {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Add(in_flight) => write!(f, "add, {in_flight} in flight"),
            Self::Bulk(a_call) => write!(f, "bulk add, {a_call} a call"),
            Self::Run(slots) => write!(f, "no-op jobs, {slots} slots"),
        }
    }
}
