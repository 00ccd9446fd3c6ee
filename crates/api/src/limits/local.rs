//! Counters of this process, for the time that Redis is away.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use examhall_delivery::Permit;
use parking_lot::Mutex;

/// Counters of one rule. Each rule has its own, so nobody pushes the counters of one out by using another.
const MOST_BUCKETS: usize = 10_000;

/// How many in which time.
pub(super) type Count = (u32, Duration);

/// The buckets of all rules, by whom they count. A bucket is the time at which it is full again.
#[derive(Default)]
pub(super) struct Local(Mutex<HashMap<&'static str, Buckets>>);

type Buckets = HashMap<String, Instant>;

impl Local {
    /// Takes one of what `who` may have by a rule.
    pub(super) fn take(&self, rule: &'static str, who: &str, count: Count, now: Instant) -> Permit {
        // A panic cannot leave a map of times in disorder.
        let mut rules = self.0.lock();
        let buckets = rules.entry(rule).or_default();
        match conforming(buckets.get(who).copied().unwrap_or(now), count, now) {
            Ok(next) => {
                if buckets.len() >= MOST_BUCKETS && !buckets.contains_key(who) {
                    make_room(buckets, now);
                }
                buckets.insert(who.to_owned(), next);
                Permit::Granted
            }
            Err(wait) => Permit::After(wait),
        }
    }

    /// Puts back one that was taken.
    pub(super) fn give_back(&self, rule: &'static str, who: &str, (count, period): Count, now: Instant) {
        let mut rules = self.0.lock();
        let full_at = rules.get_mut(rule).and_then(|buckets| buckets.get_mut(who));
        if let Some(full_at) = full_at {
            *full_at = full_at.checked_sub(period / count.max(1)).unwrap_or(now);
        }
    }
}

/// Drops buckets that are full, and where that is not enough the quarter that would be full soonest: a newcomer is never
/// refused for it, and a client that has taken much stays known. A quarter, so that the next ones cost nothing.
fn make_room(buckets: &mut Buckets, now: Instant) {
    buckets.retain(|_, full_at| *full_at > now);
    let mut spare = MOST_BUCKETS / 4;
    if buckets.len() + spare <= MOST_BUCKETS {
        return;
    }
    let mut times: Vec<_> = buckets.values().copied().collect();
    let (_, last, _) = times.select_nth_unstable(spare);
    let last = *last;
    buckets.retain(|_, full_at| {
        let goes = *full_at <= last && spare > 0;
        spare -= usize::from(goes);
        !goes
    });
}

/// The generic cell rate algorithm, as in Redis: returns when a bucket is full again after one was taken, or how long to
/// wait for one.
pub(super) fn conforming(full_at: Instant, (count, period): Count, now: Instant) -> Result<Instant, Duration> {
    let next = full_at.max(now) + period / count.max(1);
    let excess = next.saturating_duration_since(now + period);
    if excess.is_zero() { Ok(next) } else { Err(excess) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: Count = (3, Duration::from_secs(30));

    #[test]
    fn a_few_get_through_and_more_as_time_passes() {
        let (local, now) = (Local::default(), Instant::now());
        let take = |who: &str, after| local.take("rule", who, RULE, now + Duration::from_secs(after));
        assert_eq!([0, 0, 0].map(|after| take("a", after)), [Permit::Granted; 3]);
        assert_eq!(take("a", 0), Permit::After(Duration::from_secs(10)));
        assert_eq!(take("b", 0), Permit::Granted, "another one's");
        assert_eq!(take("a", 9), Permit::After(Duration::from_secs(1)));
        assert_eq!([10, 10].map(|after| take("a", after) == Permit::Granted), [true, false]);
        assert_eq!([100, 100, 100, 100].map(|after| take("a", after) == Permit::Granted), [true, true, true, false]);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let (local, now) = (Local::default(), Instant::now());
        for _ in 0..10 {
            assert_eq!(local.take("rule", "a", RULE, now), Permit::Granted);
            local.give_back("rule", "a", RULE, now);
        }
        local.give_back("rule", "a", RULE, now);
        local.give_back("other", "nobody", RULE, now);
        assert_eq!([0; 4].map(|_| local.take("rule", "a", RULE, now) == Permit::Granted), [true, true, true, false]);
    }

    #[test]
    fn a_full_table_refuses_nobody_and_forgets_no_guesser() {
        let (local, now) = (Local::default(), Instant::now());
        assert_eq!(
            [(); 4].map(|()| local.take("rule", "guesser", RULE, now) == Permit::Granted),
            [true, true, true, false]
        );
        for n in 0..5 * MOST_BUCKETS {
            assert_eq!(local.take("rule", &n.to_string(), RULE, now), Permit::Granted, "newcomer {n}");
            assert!(local.0.lock()["rule"].len() <= MOST_BUCKETS);
        }
        assert!(matches!(local.take("rule", "guesser", RULE, now), Permit::After(_)));
        assert_eq!(local.take("other", "guesser", RULE, now), Permit::Granted, "each rule has its own table");
    }
}
