//! Whether this machine is too busy to tell a silent server from a slow one.

use std::time::{Duration, Instant};

/// Time for which tasks of this machine have waited for a CPU, since it was started (Linux's pressure stall information).
#[derive(Clone, Copy)]
pub(crate) struct CpuPressure {
    waited: Option<Duration>,
    at: Instant,
}

impl CpuPressure {
    pub(crate) fn now() -> Self {
        let text = std::fs::read_to_string("/proc/pressure/cpu").ok();
        Self { waited: text.as_deref().and_then(total), at: Instant::now() }
    }

    /// Returns whether tasks have waited for most of the time since then; `false` where that is not known.
    pub(crate) fn was_high(self) -> bool {
        let Self { waited: now, at } = Self::now();
        let waited = now.zip(self.waited).map(|(now, before)| now.saturating_sub(before));
        waited.is_some_and(|waited| waited * 2 > at.duration_since(self.at))
    }
}

/// Reads the total of the first line, in which at least one task waited: `some avg10=0.00 .. total=123`, in us.
fn total(text: &str) -> Option<Duration> {
    let (_, total) = text.lines().next()?.strip_prefix("some ")?.rsplit_once("total=")?;
    total.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn total_is_read_from_the_first_line() {
        let text = "some avg10=85.28 avg60=88.45 avg300=92.85 total=1250\nfull avg10=0.00 total=0\n";
        assert_eq!(total(text), Some(Duration::from_micros(1250)));
        assert_eq!(["", "full total=1", "some avg10=1"].map(total), [None; 3]);
    }
}
