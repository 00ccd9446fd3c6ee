//! Several limits at once, as providers state them: per second, minute, hour and day.

use std::time::Duration;

use examhall_redis::Route;

use crate::{Error, RateLimiter, script};

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

    fn waits_key(&self, group: &str) -> String {
        format!("{}{{{group}}}:waits", self.prefix())
    }
}
