//! Counts of one minute or hour, with a fixed histogram of the time until mails were accepted.

use std::fmt;

/// Upper bounds of the histogram, in ms; a last bucket has none.
pub const WAIT_BOUNDS_MS: [i64; 12] =
    [100, 250, 500, 1_000, 2_000, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000];

/// Counts. Its text is a line of numbers: sent, failed, deferred, and the histogram; zeros at the end are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailBucket {
    /// Mails that a server accepted.
    pub sent: u64,
    /// Mails that failed for good.
    pub failed: u64,
    /// Attempts after which a mail is tried again.
    pub deferred: u64,
    /// Accepted mails by the time since they were committed.
    pub waits: [u64; WAIT_BOUNDS_MS.len() + 1],
}

impl MailBucket {
    /// Counts a mail that was accepted so many ms after it was committed.
    pub fn count_sent(&mut self, wait_ms: i64) {
        self.sent += 1;
        self.waits[WAIT_BOUNDS_MS.partition_point(|bound| *bound < wait_ms)] += 1;
    }

    /// Adds the counts of another bucket.
    pub fn add(&mut self, other: &Self) {
        self.sent += other.sent;
        self.failed += other.failed;
        self.deferred += other.deferred;
        for (mine, more) in self.waits.iter_mut().zip(other.waits) {
            *mine += more;
        }
    }

    /// Returns whether nothing was counted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Returns the time until mails were accepted, in ms, that this percentage of them did not exceed; within a bucket of the
    /// histogram it is interpolated. `None` if no mail was sent.
    pub fn wait_ms(&self, percent: u64) -> Option<i64> {
        let total: u64 = self.waits.iter().sum();
        let rank = (total * percent).div_ceil(100).max(1);
        let mut before = 0;
        for (at, count) in self.waits.iter().enumerate() {
            if before + count >= rank {
                let from = at.checked_sub(1).map_or(0, |last| WAIT_BOUNDS_MS[last]);
                let to = WAIT_BOUNDS_MS.get(at).copied().unwrap_or(from);
                let share = i64::try_from((rank - before) * 1000 / count).unwrap_or(1000);
                return Some(from + (to - from) * share / 1000);
            }
            before += count;
        }
        None
    }

    /// Reads the text of a bucket; `None` if another program wrote it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut bucket = Self::default();
        for (at, number) in text.split(' ').filter(|word| !word.is_empty()).enumerate() {
            *bucket.slot(at)? = number.parse().ok()?;
        }
        Some(bucket)
    }

    fn slot(&mut self, at: usize) -> Option<&mut u64> {
        match at {
            0 => Some(&mut self.sent),
            1 => Some(&mut self.failed),
            2 => Some(&mut self.deferred),
            _ => self.waits.get_mut(at - 3),
        }
    }
}

impl fmt::Display for MailBucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = [&[self.sent, self.failed, self.deferred][..], &self.waits].concat();
        let length = numbers.iter().rposition(|number| *number > 0).map_or(0, |last| last + 1);
        let words: Vec<_> = numbers[..length].iter().map(ToString::to_string).collect();
        f.write_str(&words.join(" "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(waits: &[i64]) -> MailBucket {
        let mut bucket = MailBucket::default();
        for wait in waits {
            bucket.count_sent(*wait);
        }
        bucket
    }

    #[test]
    fn text_and_back_is_the_same_bucket() {
        let mut bucket = of(&[0, 100, 101, 7_000, 4_000_000]);
        (bucket.failed, bucket.deferred) = (2, 3);
        assert_eq!(bucket.to_string(), "5 2 3 2 1 0 0 0 0 1 0 0 0 0 0 1");
        assert_eq!(MailBucket::parse(&bucket.to_string()), Some(bucket));
        let failed = MailBucket { failed: 7, ..MailBucket::default() };
        assert_eq!((failed.to_string().as_str(), MailBucket::parse("0 7")), ("0 7", Some(failed.clone())));
        assert_eq!((MailBucket::parse(""), MailBucket::parse("x")), (Some(MailBucket::default()), None));
        assert_eq!(MailBucket::parse(&"1 ".repeat(17)), None, "of a later version");
    }

    #[test]
    fn percentiles_lie_in_their_bucket_of_the_histogram() {
        let mut waits = vec![150; 90];
        waits.extend([20_000; 10]);
        let bucket = of(&waits);
        let (half, most) = (bucket.wait_ms(50).expect("sent"), bucket.wait_ms(95).expect("sent"));
        assert!((100..=250).contains(&half) && (10_000..=30_000).contains(&most), "{half} {most}");
        assert_eq!(of(&[9_000_000]).wait_ms(50), Some(3_600_000), "the last bound is the least it was");
        assert_eq!(MailBucket::default().wait_ms(95), None);
    }
}
