//! Several limits at once, as providers state them: per second, minute, hour and day.

use std::time::Duration;

use examhall_redis::Route;

use crate::{Error, RateLimiter, script};

/// Parts of the period of a sliding window, as in `limits.lua`.
const PARTS: i64 = 60;

/// How many may happen in a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// The number; at least 1.
    pub count: u32,
    /// The period.
    pub period: Duration,
    /// Evenly spread, with this many at once after a pause. Without it at most `count` happen in any period of that length
    /// (sliding window, in steps of a sixtieth), at whatever times.
    pub burst: Option<u32>,
}

/// What is taken from a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// Names the limit within its group.
    pub key: String,
    /// The limit.
    pub quota: Quota,
    /// How many are taken. More than the limit's count are as many.
    pub cost: u32,
    /// Whether those that are sent away get a turn each, one after the other, instead of all the same time.
    pub queues: bool,
}

impl Quota {
    /// Reads what `limits.lua` has stored of a limit; `now` in microseconds.
    fn used(&self, stored: &std::collections::HashMap<String, i64>, now: i64) -> u32 {
        let period = i64::try_from(self.period.as_micros()).unwrap_or(i64::MAX).max(1);
        let count = i64::from(self.count.max(1));
        let used = if self.burst.is_some() {
            let busy = stored.get("full").map_or(0, |full| full.saturating_sub(now).max(0));
            busy.saturating_mul(count).saturating_add(period - 1) / period
        } else {
            let width = (period / PARTS).max(1);
            let is_live = |part: &i64| part.saturating_add(1).saturating_mul(width).saturating_add(period) > now;
            let parts = stored.iter().filter_map(|(part, taken)| Some((part.parse::<i64>().ok()?, *taken)));
            parts.filter(|(part, _)| is_live(part)).map(|(_, taken)| taken).sum()
        };
        u32::try_from(used.clamp(0, count)).unwrap_or(self.count)
    }
}

impl RateLimiter {
    /// Takes from all limits of `group`, or from none, in one round trip. Returns how long to wait for each limit; all are zero
    /// if everything was taken. With `at_once` the caller gets no turn behind others, but the time of the next free one.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer; the caller decides whether that means yes or no.
    pub async fn take_all(&self, group: &str, claims: &[Claim], at_once: bool) -> Result<Vec<Duration>, Error> {
        let keys: Vec<_> = [self.waits_key(group)]
            .into_iter()
            .chain(claims.iter().map(|claim| format!("{}{{{group}}}:{}", self.prefix(), claim.key)))
            .collect();
        let mut args = vec![i64::from(at_once).to_string().into()];
        for Claim { key, quota, cost, queues } in claims {
            args.push(quota.count.max(1).to_string().into());
            args.push(quota.period.as_micros().to_string().into());
            args.push(quota.burst.map_or(0, |burst| burst.max(1)).to_string().into());
            args.push(cost.to_string().into());
            args.push(i64::from(*queues).to_string().into());
            args.push(key.as_str().into());
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let waits: Vec<u64> = self.connection().eval(&script::LIMITS, &keys, args).await?;
        Ok(waits.into_iter().map(Duration::from_micros).collect())
    }

    /// Returns the limits of `group` that are waited for now, each with the time until the last one's turn.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn waits(&self, group: &str) -> Result<Vec<(String, Duration)>, Error> {
        let key = self.waits_key(group);
        let args = vec![key.as_str().into()];
        let stored: std::collections::BTreeMap<String, String> =
            self.connection().command("HGETALL", Route::Key(&key), args).await?;
        let now = self.connection().time(Route::Key(&key)).await?; // by whose clock they were written
        let now = Duration::from_millis(now.try_into().unwrap_or_default());
        let left =
            |until: &String| Duration::from_micros(until.parse().ok()?).checked_sub(now).filter(|it| !it.is_zero());
        Ok(stored.iter().filter_map(|(label, until)| Some((label.clone(), left(until)?))).collect())
    }

    /// Returns how many were taken from limits of `group` within their periods, in order of `limits`.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn used(&self, group: &str, limits: &[(String, Quota)]) -> Result<Vec<u32>, Error> {
        let now = self.connection().time(Route::Key(&self.waits_key(group))).await?;
        let mut used = Vec::with_capacity(limits.len());
        for (limit, quota) in limits {
            let key = format!("{}{{{group}}}:{limit}", self.prefix());
            let stored: std::collections::HashMap<String, i64> =
                self.connection().command("HGETALL", Route::Key(&key), vec![key.as_str().into()]).await?;
            used.push(quota.used(&stored, now.saturating_mul(1000)));
        }
        Ok(used)
    }

    fn waits_key(&self, group: &str) -> String {
        format!("{}{{{group}}}:waits", self.prefix())
    }
}
