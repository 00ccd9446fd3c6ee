//! How often somebody may knock: counted in Redis for all processes; while Redis is away in this one, and more
//! sparingly.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_core::{EmailAddress, Role, UserId, Viewer};
use examhall_queue::{Connection, Limiter, Permit, Rate};
use moka::sync::Cache;
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

/// Writes of one student: several tabs that save each second are far below.
const STUDENT_WRITES: (u32, Duration) = (100, Duration::from_secs(10));
/// Writes of an author or administrator: a script that imports questions one by one is not held up for long.
const AUTHOR_WRITES: (u32, Duration) = (1000, Duration::from_secs(10));
/// Users whose writes are counted in this process.
const MOST_USERS: u64 = 100_000;

/// Counts requests.
pub(crate) struct Limits {
    shared: Limiter,
    local: Mutex<HashMap<String, Instant>>,
    /// When each user's bucket is full again; one that was idle for its period is full.
    users: Cache<UserId, Arc<Mutex<Instant>>>,
}

impl Limits {
    pub(crate) fn new(connection: Connection) -> Self {
        let idle = STUDENT_WRITES.1.max(AUTHOR_WRITES.1);
        let users = Cache::builder().max_capacity(MOST_USERS).time_to_idle(idle).build();
        Self { shared: Limiter::new(connection, "limit:"), local: Mutex::default(), users }
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

    /// For every write of somebody who has logged in: counted in this process alone, so it costs no round trip.
    pub(crate) fn write(&self, viewer: Viewer) -> Result<(), Problem> {
        let now = Instant::now();
        let rate = if viewer.role == Role::Student { STUDENT_WRITES } else { AUTHOR_WRITES };
        let bucket = self.users.get_with(viewer.id, || Arc::new(Mutex::new(now)));
        let mut full_at = bucket.lock().unwrap_or_else(PoisonError::into_inner);
        match conforming(*full_at, rate, now) {
            Ok(next) => {
                *full_at = next;
                Ok(())
            }
            Err(wait) => {
                metrics::counter!("rate_limited_total", "rule" => "user").increment(1);
                Err(Problem::too_many(wait))
            }
        }
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

    /// Takes one of a bucket of this process.
    fn take_here(&self, key: String, rate: (u32, Duration), now: Instant) -> Permit {
        // A panic cannot leave a map of times in disorder.
        let mut buckets = self.local.lock().unwrap_or_else(PoisonError::into_inner);
        if buckets.len() >= MOST_BUCKETS {
            buckets.retain(|_, full_at| *full_at > now);
        }
        if buckets.len() >= MOST_BUCKETS && !buckets.contains_key(&key) {
            return Permit::After(rate.1 / rate.0.max(1)); // too many to tell apart: closed to those who are new
        }
        match conforming(buckets.get(&key).copied().unwrap_or(now), rate, now) {
            Ok(next) => {
                buckets.insert(key, next);
                Permit::Granted
            }
            Err(wait) => Permit::After(wait),
        }
    }
}

/// The generic cell rate algorithm, as in Redis: a bucket is the time at which it is full again. Returns that time after
/// one was taken, or how long to wait for one.
fn conforming(full_at: Instant, (count, period): (u32, Duration), now: Instant) -> Result<Instant, Duration> {
    let next = full_at.max(now) + period / count.max(1);
    let excess = next.saturating_duration_since(now + period);
    if excess.is_zero() { Ok(next) } else { Err(excess) }
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
    async fn writes_of_one_user_are_limited_and_of_others_not() {
        let limits = Limits::new(Connection::open("redis://127.0.0.1:1").expect("a URL"));
        let viewer = |n, role| Viewer { id: UserId(uuid::Uuid::from_u128(n)), role };
        let granted = |who, count| (0..count).filter(|_| limits.write(who).is_ok()).count();
        assert!((100..150).contains(&granted(viewer(1, Role::Student), 500)));
        assert_eq!(granted(viewer(2, Role::Student), 100), 100);
        assert_eq!(granted(viewer(3, Role::Author), 1000), 1000);
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
