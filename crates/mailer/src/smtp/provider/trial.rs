//! Mails that go one at a time: those that try out a provider whose circuit is half-open, and those that may hinder others.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// Lets one mail at a time pass.
#[derive(Debug, Default)]
pub(super) struct OneByOne(Arc<Mutex<Passing>>);

#[derive(Debug, Default)]
struct Passing {
    since: Vec<(u64, Instant)>,
    number: u64,
    ended: Option<Instant>,
}

/// Permit of a mail that passes, until dropped.
#[derive(Debug)]
pub(super) struct PassPermit {
    passing: Arc<Mutex<Passing>>,
    number: u64,
}

impl OneByOne {
    /// Takes a permit. Mails that have theirs for longer than `limit` hold up no other.
    ///
    /// # Errors
    /// Returns since when another mail has it.
    pub(super) fn begin(&self, limit: Duration) -> Result<PassPermit, Instant> {
        let mut passing = self.0.lock();
        if let Some((_, since)) = passing.since.iter().find(|(_, since)| since.elapsed() < limit) {
            return Err(*since);
        }
        passing.number += 1;
        let number = passing.number;
        passing.since.push((number, Instant::now()));
        Ok(PassPermit { passing: Arc::clone(&self.0), number })
    }

    /// How long no mail has passed.
    pub(super) fn idle_for(&self) -> Duration {
        let passing = self.0.lock();
        if passing.since.is_empty() {
            passing.ended.map_or(Duration::MAX, |ended| ended.elapsed())
        } else {
            Duration::ZERO
        }
    }

    /// Number of mails that have had their permit for longer than `limit`.
    pub(super) fn slow(&self, limit: Duration) -> usize {
        self.0.lock().since.iter().filter(|(_, since)| since.elapsed() >= limit).count()
    }
}

impl Drop for PassPermit {
    fn drop(&mut self) {
        let mut passing = self.passing.lock();
        passing.since.retain(|(number, _)| *number != self.number);
        passing.ended = Some(Instant::now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mails_pass_one_by_one_unless_one_is_slow() {
        let one_by_one = OneByOne::default();
        assert_eq!(one_by_one.idle_for(), Duration::MAX);
        let first = one_by_one.begin(Duration::MAX).expect("free");
        assert!(one_by_one.begin(Duration::MAX).is_err() && one_by_one.idle_for().is_zero());
        let second = one_by_one.begin(Duration::ZERO).expect("the first is slow");
        assert_eq!((one_by_one.slow(Duration::ZERO), one_by_one.slow(Duration::MAX)), (2, 0));
        drop(first);
        assert!(one_by_one.begin(Duration::MAX).is_err(), "the second passes");
        drop(second);
        assert!(one_by_one.begin(Duration::MAX).is_ok() && one_by_one.idle_for() < Duration::MAX);
    }
}
