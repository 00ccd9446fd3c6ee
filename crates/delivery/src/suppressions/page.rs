//! The suppression list a part at a time: it may have a million entries.

use std::{
    fmt,
    str::FromStr,
    time::{Duration, Instant},
};

use examhall_redis::Value;

use super::{Suppression, Suppressions, entry, now};
use crate::Error;

/// Number of entries that one command looks at, about.
const LOOK: u32 = 500;

/// Where the next part of the list begins: where a scan of the hash goes on (`HSCAN`), and how many entries to skip from there.
/// ```
/// # use examhall_delivery::SuppressionCursor;
/// let cursor: SuppressionCursor = "17-50".parse()?;
/// assert_eq!(cursor.to_string(), "17-50");
/// # Ok::<(), examhall_delivery::BadSuppressionCursor>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SuppressionCursor {
    scan: u64,
    skip: usize,
}

/// A text is not a [`SuppressionCursor`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position in the suppression list")]
pub struct BadSuppressionCursor;

/// A part of the list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SuppressionPage {
    /// The entries.
    pub items: Vec<Suppression>,
    /// Where the next part begins; `None` after the last one. A part may have few entries, or none, and not be the last one.
    pub next: Option<SuppressionCursor>,
    /// Number of entries that were looked at.
    pub looked_at: u64,
}

impl Suppressions {
    /// Returns up to `wanted` entries that are wanted, held ones too, and forgets those that have ended. Looks for `time`, and at
    /// some hundred entries at least. A list of some hundred entries is sorted, the newest first; the parts of a longer one come in
    /// no order. An entry that is there all the time is in one part at least.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn page(
        &self,
        from: SuppressionCursor,
        wanted: usize,
        time: Duration,
        is_wanted: impl Fn(&Suppression) -> bool,
    ) -> Result<SuppressionPage, Error> {
        let (started, mut at, mut page) = (Instant::now(), from, SuppressionPage::default());
        loop {
            let (next, entries) = self.scan(at.scan).await?;
            page.looked_at += entries.len() as u64;
            let mut fitting: Vec<_> = entries.into_iter().filter(&is_wanted).skip(at.skip).collect();
            let missing = wanted.saturating_sub(page.items.len());
            if fitting.len() > missing {
                fitting.truncate(missing);
                page.items.extend(fitting);
                page.next = Some(SuppressionCursor { skip: at.skip + missing, ..at });
                break;
            }
            page.items.extend(fitting);
            if next == 0 {
                break;
            }
            at = SuppressionCursor { scan: next, skip: 0 };
            if page.items.len() >= wanted || started.elapsed() >= time {
                page.next = Some(at);
                break;
            }
        }
        page.items.sort_by(newest_first);
        Ok(page)
    }

    /// Takes one step of a scan; returns where the next one begins, 0 after the last, and the entries, the newest first.
    async fn scan(&self, from: u64) -> Result<(u64, Vec<Suppression>), Error> {
        let args = vec![self.key.as_str().into(), from.to_string().into(), "COUNT".into(), LOOK.into()];
        let (next, stored): (String, Vec<String>) = self.connection.command("HSCAN", self.route(), args).await?;
        let now = now();
        let mut ended = vec![Value::from(self.key.as_str())];
        let mut entries = Vec::with_capacity(stored.len() / 2);
        for pair in stored.chunks_exact(2) {
            let entry = entry::read(&pair[0], &pair[1], self.policy.lifetime);
            if entry.has_ended(now) {
                ended.push(pair[0].as_str().into());
            } else {
                entries.push(entry);
            }
        }
        if ended.len() > 1 {
            self.connection.command::<i64>("HDEL", self.route(), ended).await?;
        }
        entries.sort_by(newest_first);
        Ok((next.parse().unwrap_or(0), entries))
    }
}

fn newest_first(a: &Suppression, b: &Suppression) -> std::cmp::Ordering {
    (b.since, &a.address).cmp(&(a.since, &b.address))
}

impl fmt::Display for SuppressionCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.scan, self.skip)
    }
}

impl FromStr for SuppressionCursor {
    type Err = BadSuppressionCursor;

    fn from_str(text: &str) -> Result<Self, BadSuppressionCursor> {
        let read = || {
            let (scan, skip) = text.split_once('-')?;
            Some(Self { scan: scan.parse().ok()?, skip: skip.parse().ok()? })
        };
        read().ok_or(BadSuppressionCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursors_are_read_as_they_are_written() {
        for text in ["0-0", "18446744073709551615-7"] {
            assert_eq!(text.parse::<SuppressionCursor>().map(|cursor| cursor.to_string()), Ok(text.to_owned()));
        }
        for bad in ["", "7", "x-1", "1-x", "-1", "1--1"] {
            assert_eq!(bad.parse::<SuppressionCursor>(), Err(BadSuppressionCursor), "{bad}");
        }
    }
}
