//! How often somebody may knock: counted in Redis for all processes; while Redis is away in this one, and more
//! sparingly.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_core::EmailAddress;
use examhall_queue::{Connection, Limiter, Permit, Rate};
use ring::digest::{SHA256, digest};

use crate::http::problem::Problem;

/// How long Redis is waited for: whoever logs in must not wait for a limiter.
const PATIENCE: Duration = Duration::from_millis(250);
/// Counters that one process keeps while Redis is away.
const MOST_BUCKETS: usize = 10_000;

/// What is limited.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rule {
    name: &'static str,
    shared: (u32, Duration),
    local: (u32, Duration),
}

/// All auth routes, per client. A whole school may log in from one address within a minute.
const CLIENT: Rule =
    Rule { name: "client", shared: (3000, Duration::from_mins(1)), local: (60, Duration::from_mins(1)) };
/// Guessing the password of one account.
pub(crate) const LOG_IN: Rule =
    Rule { name: "login", shared: (30, Duration::from_mins(5)), local: (5, Duration::from_mins(5)) };
/// Having mails sent to one address.
pub(crate) const MAIL_ME: Rule =
    Rule { name: "mail", shared: (30, Duration::from_hours(1)), local: (5, Duration::from_hours(1)) };

/// Counts who knocks.
pub(crate) struct Limits {
    shared: Limiter,
    local: Mutex<HashMap<String, Instant>>,
}

impl Limits {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { shared: Limiter::new(connection, "limit:"), local: Mutex::default() }
    }

    /// For every auth route: counts the client's address. Of IPv6 it is the network that one client has.
    pub(crate) async fn client(&self, address: IpAddr) -> Result<(), Problem> {
        let who = match address {
            IpAddr::V4(address) => address.to_string(),
            IpAddr::V6(address) => format!("{:x}", address.to_bits() >> 64),
        };
        self.check(CLIENT, &who).await
    }

    /// For routes that name an account, whether or not there is one: counts its address, by a hash.
    pub(crate) async fn account(&self, rule: Rule, email: &EmailAddress) -> Result<(), Problem> {
        let hash = digest(&SHA256, email.canonical().as_bytes());
        let who = BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12]);
        self.check(rule, &who).await
    }

    async fn check(&self, rule: Rule, who: &str) -> Result<(), Problem> {
        let key = format!("{}:{who}", rule.name);
        let (count, period) = rule.shared;
        let asked = tokio::time::timeout(PATIENCE, self.shared.take(&key, Rate::per(count, period))).await;
        let permit = match asked {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) | Err(_) => self.take_here(key, rule.local, Instant::now()),
        };
        match permit {
            Permit::Granted => Ok(()),
            Permit::After(wait) => {
                metrics::counter!("rate_limited_total", "rule" => rule.name).increment(1);
                Err(Problem::too_many(wait))
            }
        }
    }

    /// The generic cell rate algorithm, as in Redis: a bucket is the time at which it is full again.
    fn take_here(&self, key: String, (count, period): (u32, Duration), now: Instant) -> Permit {
        let interval = period / count.max(1);
        // A panic cannot leave a map of times in disorder.
        let mut buckets = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST_BUCKETS {
            buckets.retain(|_, full_at| *full_at > now);
        }
        if buckets.len() >= MOST_BUCKETS && !buckets.contains_key(&key) {
            return Permit::After(interval); // too many to tell apart: closed to those who are new
        }
        let full_at = buckets.get(&key).copied().unwrap_or(now).max(now) + interval;
        let excess = full_at.saturating_duration_since(now + period);
        if !excess.is_zero() {
            return Permit::After(excess);
        }
        buckets.insert(key, full_at);
        Permit::Granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn without_redis_a_few_get_through_and_more_as_time_passes() {
        let nowhere = Connection::open("redis://127.0.0.1:1").expect("a URL");
        let limits = Limits::new(nowhere);
        let (rule, now) = ((3, Duration::from_secs(30)), Instant::now());
        let take = |who: &str, after| limits.take_here(who.to_owned(), rule, now + Duration::from_secs(after));
        assert_eq!([0, 0, 0].map(|after| take("a", after)), [Permit::Granted; 3]);
        assert_eq!(take("a", 0), Permit::After(Duration::from_secs(10)));
        assert_eq!(take("b", 0), Permit::Granted, "another one's");
        assert_eq!(take("a", 9), Permit::After(Duration::from_secs(1)));
        assert_eq!([10, 10].map(|after| take("a", after) == Permit::Granted), [true, false]);
        assert_eq!([100, 100, 100, 100].map(|after| take("a", after) == Permit::Granted), [true, true, true, false]);
    }
}
