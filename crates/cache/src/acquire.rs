//! Answers to `acquire.lua`: the value, or the lease with which to load it.

use std::time::Duration;

use bytes::Bytes;
use examhall_redis::Value;

use crate::changes::CommitId;

/// Fencing token of a lease: good for one fill, and void after any invalidation.
#[derive(Clone)]
pub(crate) struct LeaseToken(String);

/// Permission to load and to fill once.
pub(crate) struct Lease {
    pub(crate) token: LeaseToken,
    /// Changes of the key that Redis had been notified of: what is loaded under this lease includes them.
    pub(crate) cleared: Vec<CommitId>,
    /// Generations of the key's groups: if one of them is invalidated, the lease is void.
    pub(crate) generations: String,
}

/// Bytes by which a value is recognized that is to be replaced: its first line, with its checksum.
const BEGINNING: usize = 128;

/// When a value that is cached is loaded again.
#[derive(Clone)]
pub(crate) enum Refresh {
    Never,
    /// If its remaining time to live is at most this: nobody has refreshed it since the caller read that.
    IfTtlAtMost(Duration),
    /// If it still begins with these bytes: nobody has replaced it since the caller found that it cannot be used.
    IfStill(Bytes),
    Always,
}

/// What Redis answered to an acquisition.
pub(crate) enum Acquired {
    /// The value, with its remaining time to live; `None` if it has no end.
    Value { bytes: Bytes, ttl: Option<Duration> },
    /// The caller loads.
    Lease(Lease),
    /// Another caller loads.
    Busy,
    /// A change is being committed: load, and store nothing.
    Marked,
    /// The value is too large for Redis: every process loads for itself.
    Unstored,
    /// A large value of this many bytes, with its remaining time to live: to be read on another connection.
    Large { bytes: usize, ttl: Option<Duration> },
}

/// First element of the script's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AcquireCode {
    Value = 1,
    Busy = 2,
    Granted = 3,
    Marked = 4,
    Large = 5,
    Unstored = 6,
}

impl AcquireCode {
    const ALL: [Self; 6] = [Self::Value, Self::Busy, Self::Granted, Self::Marked, Self::Large, Self::Unstored];

    /// Returns the code as the label `result` of metrics.
    const fn name(self) -> &'static str {
        match self {
            Self::Value => "value",
            Self::Busy => "busy",
            Self::Granted => "granted",
            Self::Marked => "marked",
            Self::Large => "large",
            Self::Unstored => "unstored",
        }
    }

    fn count(self, space: &'static str) {
        metrics::counter!("cache_lease_total", "result" => self.name(), "ns" => space).increment(1);
    }
}

impl TryFrom<i64> for AcquireCode {
    type Error = i64;

    fn try_from(code: i64) -> Result<Self, i64> {
        Self::ALL.into_iter().find(|known| *known as i64 == code).ok_or(code)
    }
}

impl LeaseToken {
    /// Draws a token for one acquisition. A token is never used again: an acquisition without an answer may still arrive,
    /// after an invalidation.
    pub(crate) fn draw() -> Self {
        Self(uuid::Uuid::new_v4().simple().to_string())
    }

    pub(crate) fn to_arg(&self) -> Value {
        self.0.as_str().into()
    }
}

impl Refresh {
    /// Returns the refresh of a value that cannot be used: it is damaged, or lacks a change.
    pub(crate) fn replacing(value: &Bytes) -> Self {
        Self::IfStill(value.slice(..value.len().min(BEGINNING)))
    }

    /// Returns the remaining time to live up to which a value is loaded again, in ms, and the first bytes of one that
    /// cannot be read.
    pub(crate) fn into_args(self) -> (Value, Option<Value>) {
        match self {
            Self::Never => ("-1".into(), None),
            Self::IfTtlAtMost(ttl) => (ttl.as_millis().to_string().into(), None),
            Self::IfStill(beginning) => ("-1".into(), Some(Value::Bytes(beginning))),
            Self::Always => ((i64::from(u32::MAX) * 1_000).to_string().into(), None),
        }
    }
}

impl Acquired {
    /// A value that was found without the script, with the answer of `PTTL`.
    pub(crate) fn found(bytes: Bytes, ttl: i64, space: &'static str) -> Self {
        AcquireCode::Value.count(space);
        Self::Value { bytes, ttl: to_ttl(Some(ttl.into())) }
    }

    pub(crate) fn of(answer: Value, token: LeaseToken, space: &'static str) -> Self {
        let mut answer = answer.into_array().into_iter();
        let code = answer.next().and_then(|code| AcquireCode::try_from(code.as_i64()?).ok());
        let code = code.unwrap_or(AcquireCode::Marked); // storing nothing is always safe
        code.count(space);
        match code {
            AcquireCode::Value => {
                let bytes = answer.next().and_then(Value::into_bytes).unwrap_or_default();
                Self::Value { bytes, ttl: to_ttl(answer.next()) }
            }
            AcquireCode::Busy => Self::Busy,
            AcquireCode::Granted => {
                let generations = answer.next().and_then(|text| text.as_str().map(|text| text.to_string()));
                let cleared = answer.filter_map(|commit| Some(CommitId::of(commit.as_str()?.parse().ok()?)));
                Self::Lease(Lease { token, cleared: cleared.collect(), generations: generations.unwrap_or_default() })
            }
            AcquireCode::Marked => Self::Marked,
            AcquireCode::Unstored => Self::Unstored,
            AcquireCode::Large => {
                let bytes = answer.next().and_then(|bytes| usize::try_from(bytes.as_i64()?).ok());
                Self::Large { bytes: bytes.unwrap_or(0), ttl: to_ttl(answer.next()) }
            }
        }
    }
}

/// Returns the time of an answer in ms; `None` if there is none.
pub(crate) fn to_ttl(answer: Option<Value>) -> Option<Duration> {
    answer.and_then(|ttl| u64::try_from(ttl.as_i64()?).ok()).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn acquire_codes_are_those_of_the_script() {
        let names = AcquireCode::ALL.map(|code| code.name().to_uppercase()).join(", ");
        let codes = AcquireCode::ALL.map(|code| (code as i64).to_string()).join(", ");
        assert!(include_str!("lua/acquire.lua").contains(&format!("local {names} = {codes}\n")), "{names}");
        assert_eq!(AcquireCode::ALL.map(|code| AcquireCode::try_from(code as i64)), AcquireCode::ALL.map(Ok));
        assert_eq!(AcquireCode::try_from(0), Err(0));
    }
}
