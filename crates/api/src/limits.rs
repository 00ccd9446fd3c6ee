//! Rate limits of requests: counted in Redis for all processes; while Redis is away in this one, and more
//! sparingly.

mod local;
#[cfg(test)]
mod tests;

use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_core::{EmailAddress, ExamId, Role, UserId, Viewer};
use examhall_delivery::{Permit, Rate, RateLimiter};
use examhall_queue::Connection;
use futures_util::future::join_all;
use moka::sync::Cache;
use parking_lot::Mutex;
use ring::digest::{SHA256, digest};

use self::local::{Count, Local, conforming};
use crate::http::{
    client::{network, prefix},
    problem::Problem,
};

/// Time allowed for Redis: a login must not wait for a limiter.
const TIMEOUT: Duration = Duration::from_millis(250);

/// What is limited.
#[derive(Clone, Copy, Debug)]
struct Rule {
    name: &'static str,
    shared: Count,
    local: Count,
}

/// The networks of a client's line, by the length of their prefix, each with what it may have.
type ByNetwork = [(u8, Rule); 2];

/// Auth routes, per client. A whole school may log in from one address within a minute.
const CLIENT: Rule =
    Rule { name: "client", shared: (3000, Duration::from_mins(1)), local: (60, Duration::from_mins(1)) };
/// Going on with a session, or ending it, per client: nobody guesses a refresh token, and a school stays logged in
/// while Redis is away.
const SESSION: Rule =
    Rule { name: "session", shared: (3000, Duration::from_mins(1)), local: (3000, Duration::from_mins(1)) };
/// The same by the IPv6 networks that a client is part of: a line has a /56 or a /48 of its own, so 256 or 65,536 clients;
/// a university has a /48, too.
const CLIENT_BY_NETWORK: ByNetwork = [
    (56, Rule { name: "client56", shared: (6000, Duration::from_mins(1)), local: (120, Duration::from_mins(1)) }),
    (48, Rule { name: "client48", shared: (12_000, Duration::from_mins(1)), local: (240, Duration::from_mins(1)) }),
];
const SESSION_BY_NETWORK: ByNetwork = [
    (56, Rule { name: "session56", shared: (6000, Duration::from_mins(1)), local: (6000, Duration::from_mins(1)) }),
    (48, Rule { name: "session48", shared: (12_000, Duration::from_mins(1)), local: (12_000, Duration::from_mins(1)) }),
];
/// Guessing the password of one account, per client.
const LOG_IN: Rule = Rule { name: "login", shared: (30, Duration::from_mins(5)), local: (5, Duration::from_mins(5)) };
const LOG_IN_BY_NETWORK: ByNetwork = [
    (56, Rule { name: "login56", shared: (60, Duration::from_mins(5)), local: (10, Duration::from_mins(5)) }),
    (48, Rule { name: "login48", shared: (120, Duration::from_mins(5)), local: (20, Duration::from_mins(5)) }),
];
/// The same by all clients together: using it up locks the owner out, which takes many clients.
const LOG_IN_BY_ALL: Rule =
    Rule { name: "logins", shared: (1000, Duration::from_mins(5)), local: (200, Duration::from_mins(5)) };
/// Guessing the code of one exam, per student.
const CODE: Rule = Rule { name: "code", shared: (20, Duration::from_mins(5)), local: (5, Duration::from_mins(5)) };
/// The same per client: a whole school may mistype a code from one address.
const CODE_BY_CLIENT: Rule =
    Rule { name: "codes", shared: (300, Duration::from_mins(5)), local: (60, Duration::from_mins(5)) };
/// Having mails sent to one address.
const MAIL_ME: Rule = Rule { name: "mail", shared: (30, Duration::from_hours(1)), local: (5, Duration::from_hours(1)) };

/// Writes of one student: several tabs that save each second are far below.
const STUDENT_WRITES: Count = (100, Duration::from_secs(10));
/// Writes of an author or administrator: a script that imports questions one by one is not held up for long.
const AUTHOR_WRITES: Count = (1000, Duration::from_secs(10));
/// Users whose writes are counted in this process.
const MOST_USERS: u64 = 100_000;

/// Counts requests.
pub(crate) struct Limits {
    shared: RateLimiter,
    local: Local,
    /// When each user's bucket is full again; one that was idle for its period is full.
    users: Cache<UserId, Arc<Mutex<Instant>>>,
}

/// One that was taken of a rule.
#[derive(Debug)]
struct Taken {
    rule: Rule,
    who: String,
    is_here: bool,
}

/// What a guess at a password has taken. A password that was right was no guess: its login returns all of it.
#[must_use]
#[derive(Debug)]
pub(crate) struct Guess(Vec<Taken>);

impl Limits {
    pub(crate) fn new(connection: Connection) -> Self {
        let idle = STUDENT_WRITES.1.max(AUTHOR_WRITES.1);
        let users = Cache::builder().max_capacity(MOST_USERS).time_to_idle(idle).build();
        Self { shared: RateLimiter::new(connection, "limit:"), local: Local::default(), users }
    }

    /// For every auth route that takes no refresh token: counts the client, and the networks that it is part of.
    pub(crate) async fn client(&self, client: IpAddr) -> Result<(), Problem> {
        self.check_networks(CLIENT, CLIENT_BY_NETWORK, "", client).await.map(drop)
    }

    /// For those that take one.
    pub(crate) async fn session(&self, client: IpAddr) -> Result<(), Problem> {
        self.check_networks(SESSION, SESSION_BY_NETWORK, "", client).await.map(drop)
    }

    /// For the login, whether or not there is such an account: counts the client and the networks that it is part of.
    pub(crate) async fn log_in(&self, client: IpAddr, email: &EmailAddress) -> Result<Guess, Problem> {
        self.check_networks(LOG_IN, LOG_IN_BY_NETWORK, &format!("{}:", name(email)), client).await.map(Guess)
    }

    /// The same for all clients together, after [`log_in`](Self::log_in): a client that is refused for its own tries is not
    /// counted here, so one line locks nobody out but itself.
    pub(crate) async fn log_in_by_all(&self, email: &EmailAddress, guess: &mut Guess) -> Result<(), Problem> {
        guess.0.push(self.check(LOG_IN_BY_ALL, name(email)).await?);
        Ok(())
    }

    /// For exchanging an exam's code for a seat: counts the student, then the client.
    pub(crate) async fn code(&self, client: IpAddr, exam: ExamId, student: UserId) -> Result<Guess, Problem> {
        let by_student = self.check(CODE, format!("{exam}:{student}")).await?;
        let by_client = self.check(CODE_BY_CLIENT, format!("{exam}:{}", network(client))).await?;
        Ok(Guess(vec![by_student, by_client]))
    }

    /// Returns what a login with the right password has taken.
    pub(crate) async fn was_right(&self, Guess(taken): Guess) {
        join_all(taken.iter().map(|one| self.give_back(one))).await;
    }

    /// For every write of a logged-in user: counted in this process alone, so it costs no round trip.
    pub(crate) fn write(&self, viewer: Viewer) -> Result<(), Problem> {
        let now = Instant::now();
        let rate = if viewer.role == Role::Student { STUDENT_WRITES } else { AUTHOR_WRITES };
        let bucket = self.users.get_with(viewer.id, || Arc::new(Mutex::new(now)));
        let mut full_at = bucket.lock();
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

    /// Whether one more mail may go to an address on request. A refusal is silent: the client that asked
    /// before may be a stranger, and what they had sent is good for its owner, too.
    pub(crate) async fn may_mail(&self, email: &EmailAddress) -> bool {
        self.check(MAIL_ME, name(email)).await.is_ok()
    }

    /// Takes one for a client, then for each network that it is part of: a refused client takes nothing from its
    /// neighbours.
    async fn check_networks(
        &self,
        rule: Rule,
        by_network: ByNetwork,
        prefix_of_key: &str,
        client: IpAddr,
    ) -> Result<Vec<Taken>, Problem> {
        let mut taken = vec![self.check(rule, format!("{prefix_of_key}{}", network(client))).await?];
        if client.is_ipv6() {
            for (bits, rule) in by_network {
                taken.push(self.check(rule, format!("{prefix_of_key}{}", prefix(client, bits))).await?);
            }
        }
        Ok(taken)
    }

    async fn check(&self, rule: Rule, who: String) -> Result<Taken, Problem> {
        let (count, period) = rule.shared;
        let key = rule.key(&who);
        let asked = self.shared.take(&key, Rate::per(count, period));
        let (permit, is_here) = match tokio::time::timeout(TIMEOUT, asked).await {
            Ok(Ok(permit)) => (permit, false),
            Ok(Err(_)) | Err(_) => (self.local.take(rule.name, &who, rule.local, Instant::now()), true),
        };
        match permit {
            Permit::Granted => Ok(Taken { rule, who, is_here }),
            Permit::After(wait) => {
                metrics::counter!("rate_limited_total", "rule" => rule.name).increment(1);
                Err(Problem::too_many(wait))
            }
        }
    }

    async fn give_back(&self, Taken { rule, who, is_here }: &Taken) {
        let (count, period) = rule.shared;
        if *is_here {
            return self.local.give_back(rule.name, who, rule.local, Instant::now());
        }
        let key = rule.key(who);
        // Where Redis has gone meanwhile it stays taken, and comes back by itself.
        let _ = tokio::time::timeout(TIMEOUT, self.shared.give_back(&key, Rate::per(count, period))).await;
    }
}

impl Rule {
    fn key(&self, who: &str) -> String {
        format!("{}:{who}", self.name)
    }
}

/// An address as keys have it: by a hash.
fn name(email: &EmailAddress) -> String {
    let hash = digest(&SHA256, email.canonical().as_bytes());
    BASE64_URL_SAFE_NO_PAD.encode(&hash.as_ref()[..12])
}
