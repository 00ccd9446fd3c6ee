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

use crate::http::{
    client::{network, prefix},
    problem::Problem,
};

/// How long Redis is waited for: whoever logs in must not wait for a limiter.
const PATIENCE: Duration = Duration::from_millis(250);
/// Counters that one process keeps while Redis is away.
const MOST_BUCKETS: usize = 10_000;

/// What is limited.
#[derive(Clone, Copy, Debug)]
struct Rule {
    name: &'static str,
    shared: (u32, Duration),
    local: (u32, Duration),
}

/// Auth routes, per client. A whole school may log in from one address within a minute.
const CLIENT: Rule =
    Rule { name: "client", shared: (3000, Duration::from_mins(1)), local: (60, Duration::from_mins(1)) };
/// Going on with a session, or ending it, per client: nobody guesses a refresh token, and a school stays logged in
/// while Redis is away.
const SESSION: Rule =
    Rule { name: "session", shared: (3000, Duration::from_mins(1)), local: (3000, Duration::from_mins(1)) };
/// Guessing the password of one account, per client.
const LOG_IN: Rule = Rule { name: "login", shared: (30, Duration::from_mins(5)), local: (5, Duration::from_mins(5)) };
/// The same by the IPv6 networks that a client is part of: a line has a /56 or a /48 of its own, so 256 or 65,536 clients.
const LOG_IN_BY_NETWORK: [(u8, Rule); 2] = [
    (56, Rule { name: "login56", shared: (60, Duration::from_mins(5)), local: (10, Duration::from_mins(5)) }),
    (48, Rule { name: "login48", shared: (120, Duration::from_mins(5)), local: (20, Duration::from_mins(5)) }),
];
/// The same by all clients together: whoever uses this up locks the owner out, and must be many to do so.
const LOG_IN_BY_ALL: Rule =
    Rule { name: "logins", shared: (1000, Duration::from_mins(5)), local: (200, Duration::from_mins(5)) };
/// Having mails sent to one address.
const MAIL_ME: Rule = Rule { name: "mail", shared: (30, Duration::from_hours(1)), local: (5, Duration::from_hours(1)) };

/// Counts who knocks.
pub(crate) struct Limits {
    shared: Limiter,
    local: Mutex<HashMap<String, Instant>>,
}

impl Limits {
    pub(crate) fn new(connection: Connection) -> Self {
        Self { shared: Limiter::new(connection, "limit:"), local: Mutex::default() }
    }

    /// For every auth route that takes no refresh token: counts the client.
    pub(crate) async fn client(&self, client: IpAddr) -> Result<(), Problem> {
        self.check(CLIENT, &network(client).to_string()).await
    }

    /// For those that take one.
    pub(crate) async fn session(&self, client: IpAddr) -> Result<(), Problem> {
        self.check(SESSION, &network(client).to_string()).await
    }

    /// For the login, whether or not there is such an account: counts the client and the networks that it is part of.
    pub(crate) async fn log_in(&self, client: IpAddr, email: &EmailAddress) -> Result<(), Problem> {
        let account = name(email);
        self.check(LOG_IN, &format!("{account}:{}", network(client))).await?;
        if client.is_ipv6() {
            for (bits, rule) in LOG_IN_BY_NETWORK {
                self.check(rule, &format!("{account}:{}", prefix(client, bits))).await?;
            }
        }
        Ok(())
    }

    /// The same for all clients together, after [`log_in`](Self::log_in): who is refused for their own tries is not
    /// counted here, so one line locks nobody out but itself.
    pub(crate) async fn log_in_by_all(&self, email: &EmailAddress) -> Result<(), Problem> {
        self.check(LOG_IN_BY_ALL, &name(email)).await
    }

    /// Whether one more mail may go to an address because somebody asked for it. Nobody is told if not: whoever asked
    /// before may be a stranger, and what they had sent is good for its owner, too.
    pub(crate) async fn may_mail(&self, email: &EmailAddress) -> bool {
        self.check(MAIL_ME, &name(email)).await.is_ok()
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

/// An address as keys have it: by a hash.
fn name(email: &EmailAddress) -> String {
    let hash = digest(&SHA256, email.canonical().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12])
}

#[cfg(test)]
mod tests {
    use examhall_testkit::Redis;

    use super::*;

    fn client(n: u32) -> IpAddr {
        IpAddr::from((0x0a00_0000 + n).to_be_bytes())
    }

    fn ada() -> EmailAddress {
        EmailAddress::parse("ada@example.com").expect("an address")
    }

    async fn with_redis() -> (Redis, Limits) {
        let redis = Redis::start().await;
        let connection = Connection::open(&redis.url()).expect("a URL");
        connection.ready().await.expect("connected");
        (redis, Limits::new(connection))
    }

    /// One guess; whether it is let through.
    async fn guess(limits: &Limits, client: IpAddr) -> bool {
        limits.log_in(client, &ada()).await.is_ok() && limits.log_in_by_all(&ada()).await.is_ok()
    }

    #[tokio::test]
    async fn one_client_that_guesses_locks_out_only_itself() {
        let (_redis, limits) = with_redis().await;
        let mut granted = 0;
        for _ in 0..1100 {
            granted += i32::from(guess(&limits, client(1)).await);
        }
        assert!((30..35).contains(&granted), "{granted}");
        assert!(guess(&limits, client(2)).await);
    }

    #[tokio::test]
    async fn one_line_with_many_networks_locks_out_only_itself() {
        let (_redis, limits) = with_redis().await;
        for (networks, most) in [(0x100, 70), (0x1_0000, 140)] {
            let mut granted = 0;
            for n in 0..1500_u128 {
                let guesser = 0x2001_0db8_0001_0000_0000_0000_0000_0001 | ((n * 7) % networks) << 64;
                granted += i32::from(guess(&limits, IpAddr::from(guesser.to_be_bytes())).await);
            }
            assert!(granted < most, "{granted} guesses from {networks} networks of one line");
        }
        assert!(guess(&limits, client(1)).await && guess(&limits, "2001:db8:2::1".parse().expect("an address")).await);
    }

    #[tokio::test]
    async fn guesses_from_everywhere_are_limited_together() {
        let (_redis, limits) = with_redis().await;
        let mut granted = 0;
        while guess(&limits, client(granted)).await {
            granted += 1;
        }
        assert!((1000..1200).contains(&granted), "{granted}");
        let bob = EmailAddress::parse("bob@example.com").expect("an address");
        assert!(limits.log_in(client(0), &bob).await.is_ok() && limits.log_in_by_all(&bob).await.is_ok());
    }

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
