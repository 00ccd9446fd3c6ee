//! Reads through the cache: acquires a value or a lease from Redis, loads with the lease, fills Redis and memory.

mod unleased;

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::FutureExt;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    Error, Event, ReadError, Rejection, Source,
    acquire::{Acquired, Lease, LeaseToken, Refresh},
    cache::Inner,
    changes::Includes,
    entry::{Decoded, Entry},
    flight::{Flight, FlightTicket, Outcome},
    gather::GatherSlot,
    keys::{KeyNames, RedisKeys},
    local::Basis,
    nested,
    permits::Permit,
    redis::Redis,
    request::ReadRequest,
    retention::Retention,
};

/// First and longest pause of a process that waits for another's load and receives no message about it.
pub(crate) const FIRST_POLL: Duration = Duration::from_millis(5);
pub(crate) const MAX_POLL: Duration = Duration::from_millis(50);
/// Redirections that a read follows: a slot that has moved has one, unless it moves again.
const MAX_REDIRECTS: u32 = 3;
/// Shortest time to live that Redis takes.
const SHORTEST: Duration = Duration::from_millis(1);

/// A value past its time to live that was never invalidated, or one of which that is not known.
struct StaleValue {
    entry: Arc<Entry>,
    /// Time since it became stale, or unverified.
    age: Duration,
}

/// What a value in Redis is good for; with its remaining time to live.
enum Found {
    Fresh(Arc<Entry>, Option<Duration>),
    Stale(StaleValue, Duration),
    /// It cannot be read, lacks a change, or is older than this reader takes: it is to be replaced.
    Unusable(Refresh),
    /// It was written by a newer release, and is left alone.
    Newer,
}

impl Inner {
    fn serve_stale(&self, key: &KeyNames, stale: StaleValue) -> (Arc<Entry>, Source) {
        metrics::histogram!("cache_stale_age_seconds", "ns" => self.space(&key.name)).record(stale.age);
        self.events.send(|| Event::StaleServed { key: Arc::clone(&key.name) });
        (stale.entry, Source::Stale)
    }

    /// Runs a flight to its end, and reports its outcome to all waiters.
    pub(crate) async fn run_flight(self: Arc<Self>, flight: Arc<Flight>, request: ReadRequest) {
        let read = AssertUnwindSafe(Arc::clone(&self).read_through(Arc::clone(&flight), request));
        let panicked = |_| Err(ReadError::Panicked);
        let outcome = read.catch_unwind().await.unwrap_or_else(panicked);
        let has_failed = matches!(&outcome, Err(_) | Ok((_, Source::Stale)));
        if has_failed && !self.settings.failure_ttl.is_zero() {
            flight.land(outcome);
            tokio::time::sleep(self.settings.failure_ttl).await;
            self.flights.leave(&flight);
        } else {
            self.flights.leave(&flight);
            flight.land(outcome);
        }
    }

    async fn read_through(self: Arc<Self>, flight: Arc<Flight>, mut request: ReadRequest) -> Outcome {
        let (keys, deadline) = (self.redis_keys(&request.key), Instant::now() + self.settings.max_load_wait);
        let (mut pause, mut busy_since, mut permit, mut redirects) = (FIRST_POLL, None, None, 0);
        loop {
            if let Some(redis) = self.servers.of(&request.key.name) {
                redis.wait_if_just_replaced().await;
            }
            let ticket = self.flights.enter(&flight, self.epoch(&request.key.name));
            let gathered = request.gathered.take();
            let Some(redis) = self.trusted_redis(&request.key) else {
                drop(gathered); // the others do not wait for it
                return self.load_untrusted(request, ticket).await;
            };
            let (mut acquired, mut stale) = (ask(gathered, &redis, &keys, busy_since.is_some()).await, None);
            if let Ok(Acquired::Value { bytes, ttl }) = &acquired {
                let refresh = match self.assess(&request, keys.space, bytes, *ttl) {
                    Found::Fresh(entry, ttl) => {
                        return Ok((self.serve_from_redis(entry, ttl, request, &ticket), Source::Redis));
                    }
                    Found::Newer => return self.load_unleased(request, Some(Basis::Link), &ticket).await,
                    Found::Unusable(refresh) => refresh,
                    Found::Stale(value, ttl) => {
                        stale = Some(value);
                        Refresh::IfTtlAtMost(ttl)
                    }
                };
                acquired = redis.acquire(&keys, refresh).await;
            }
            match acquired {
                Ok(Acquired::Value { .. } | Acquired::Large { .. }) => {} // another caller has loaded it meanwhile
                Ok(Acquired::Lease(lease)) => {
                    if let Some(permit) = permit.take().or_else(|| request.own_permit(&flight, &self.permits)) {
                        return self.load_with_lease(redis, request, lease, stale, ticket, permit).await;
                    }
                    // Another process may load it while this one may not.
                    redis.release(&keys, &lease.token).await;
                    (permit, busy_since) = (self.next_permit(&flight, deadline).await?, None);
                }
                Ok(Acquired::Unstored) => return self.load_unleased(request, Some(Basis::Link), &ticket).await,
                Ok(Acquired::Marked) => return self.load_unleased(request, None, &ticket).await,
                Ok(Acquired::Busy) => {
                    if let Some(stale) = stale {
                        return Ok(self.serve_stale(&request.key, stale));
                    }
                    permit = None;
                    // The holder of the lease is alive while it lasts, and gives up first.
                    if busy_since.get_or_insert_with(Instant::now).elapsed() > self.settings.longest_lease() {
                        return self.load_unleased(request, None, &ticket).await;
                    }
                    let _ =
                        tokio::time::timeout(pause.mul_f64(0.5 + fastrand::f64() / 2.0), flight.woken.notified()).await;
                    pause = (pause * 2).min(MAX_POLL);
                }
                Err(error) if self.servers.redirect(&error) && redirects < MAX_REDIRECTS => redirects += 1,
                Err(error) => {
                    tracing::debug!(%error, "Redis bypassed");
                    return self.load_alone(request, &ticket).await;
                }
            }
        }
    }

    /// Decides what a value from Redis is good for.
    fn assess(&self, request: &ReadRequest, space: &'static str, bytes: &Bytes, ttl: Option<Duration>) -> Found {
        let reject = |reason| {
            self.events.send(|| Event::EntryRejected { key: Arc::clone(&request.key.name), reason });
            if reason == Rejection::Newer { Found::Newer } else { Found::Unusable(Refresh::replacing(bytes)) }
        };
        let entry = match (request.decode)(bytes) {
            Decoded::Entry(entry) => Arc::new(entry.read_with(ttl)),
            other => {
                metrics::counter!("cache_decode_errors_total", "ns" => space).increment(1);
                return reject(if matches!(other, Decoded::Newer) { Rejection::Newer } else { Rejection::Unreadable });
            }
        };
        if !self.is_current(&request.key, &entry) {
            metrics::counter!("cache_outdated_total", "ns" => space).increment(1);
            return reject(Rejection::Outdated);
        }
        match ttl.filter(|ttl| *ttl <= entry.grace) {
            Some(ttl) if request.options.refuses_stale => Found::Unusable(Refresh::IfTtlAtMost(ttl)),
            Some(ttl) => Found::Stale(StaleValue { age: entry.grace.saturating_sub(ttl), entry }, ttl),
            None if !request.options.takes(&entry) => Found::Unusable(Refresh::IfTtlAtMost(ttl.unwrap_or_default())),
            None => Found::Fresh(entry, ttl),
        }
    }

    /// Waits for a permit to load, or until it is worth asking Redis again.
    async fn next_permit(&self, flight: &Flight, deadline: Instant) -> Result<Option<Permit>, ReadError> {
        tokio::select! {
            permit = self.permits.wait(flight, deadline) => permit.map(Some),
            () = flight.woken.notified() => Ok(None),
        }
    }

    /// Keeps a value from Redis in memory, and refreshes it in the background if that is due.
    fn serve_from_redis(
        self: &Arc<Self>,
        entry: Arc<Entry>,
        ttl: Option<Duration>,
        request: ReadRequest,
        ticket: &FlightTicket,
    ) -> Arc<Entry> {
        let local_ttl = ttl.map_or(request.life.local, |ttl| ttl.min(request.life.local));
        self.keep_local(&request.key, &entry, Retention { ttl: local_ttl, basis: Basis::Link }, ticket);
        if let Some(ttl) = ttl.filter(|ttl| request.is_refresh_due(&entry, *ttl)) {
            self.runtime.handle().spawn(Arc::clone(self).refresh(request, Refresh::IfTtlAtMost(ttl)));
        }
        entry
    }

    /// Loads a value that is cached, if this process gets the lease. Returns whether it has loaded.
    pub(crate) async fn refresh(self: Arc<Self>, request: ReadRequest, refresh: Refresh) -> bool {
        let keys = self.redis_keys(&request.key);
        let Some(redis) = self.trusted_redis(&request.key) else { return false };
        let _permit = self.permits.wait_in_background().await;
        let Ok(Acquired::Lease(lease)) = redis.acquire(&keys, refresh).await else { return false };
        let loaded = self.load_and_fill(&redis, request, lease, None).await;
        let result = if loaded.is_ok() { "ok" } else { "error" };
        metrics::counter!("cache_refreshes_total", "result" => result).increment(1);
        loaded.is_ok_and(|entry| entry.size() <= self.settings.max_value_bytes)
    }

    /// Loads with the lease. If there is a stale value, it is served after a short wait.
    async fn load_with_lease(
        self: Arc<Self>,
        redis: Arc<Redis>,
        request: ReadRequest,
        lease: Lease,
        stale: Option<StaleValue>,
        ticket: FlightTicket,
        permit: Permit,
    ) -> Outcome {
        let (cache, key, options) = (Arc::clone(&self), request.key.clone(), request.options);
        let load = self.runtime.handle().spawn(async move {
            let loaded = cache.load_and_fill(&redis, request, lease, Some(ticket)).await;
            drop(permit);
            loaded
        });
        let (soft, hard) = options.load_limits(&self.settings);
        let timeout = if stale.is_some() { soft } else { hard * 2 };
        let loaded = match tokio::time::timeout(timeout, load).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(_)) => Err(ReadError::Panicked),
            Err(_) => Err(ReadError::TooSlow(timeout)), // the load goes on
        };
        match (loaded, stale) {
            (Ok(entry), _) => Ok((entry, Source::Loaded)),
            (Err(_), Some(stale)) => Ok(self.serve_stale(&key, stale)),
            (Err(error), None) => Err(error),
        }
    }

    pub(crate) async fn load_and_fill(
        &self,
        redis: &Redis,
        request: ReadRequest,
        lease: Lease,
        ticket: Option<FlightTicket>,
    ) -> Result<Arc<Entry>, ReadError> {
        let (life, shape, key) = (request.life, request.shape, request.key.clone());
        let keys = self.redis_keys(&key);
        let Lease { token, cleared, generations } = lease;
        let (began, seq) = (Instant::now(), self.journal.settled());
        let loaded = tokio::select! {
            loaded = self.load_limited(request) => loaded,
            never = keep_lease(redis, &keys, &token) => match never {},
        };
        let entry = match loaded {
            Ok(mut entry) => {
                entry.includes = Includes { seq, commits: cleared, generations };
                Arc::new(entry)
            }
            Err(error) => {
                redis.release(&keys, &token).await;
                return Err(error);
            }
        };
        let ttl = self.redis_ttl(&entry, life.hard);
        let is_valid = if ttl < SHORTEST {
            redis.release(&keys, &token).await;
            Ok(false) // it has ended already
        } else if entry.size() > self.settings.max_value_bytes {
            metrics::counter!("cache_fill_total", "result" => "oversize", "ns" => keys.space).increment(1);
            redis.release_unstored(&keys, &token).await
        } else {
            redis.fill(&keys, &token, &entry.includes.generations, entry.encode(shape, ttl), ttl).await
        };
        let retention = match is_valid {
            Ok(true) => Some(Retention { ttl: life.local, basis: Basis::Link }),
            Ok(false) => None,
            // An invalidation might not arrive: the value is good for 2 s from when it was read.
            Err(_) => Some(Retention {
                ttl: life.local.min(self.settings.proof()).saturating_sub(began.elapsed()),
                basis: Basis::Ttl,
            }),
        };
        if let (Some(retention), Some(ticket)) = (retention, ticket) {
            self.keep_local(&key, &entry, retention, &ticket);
        }
        Ok(entry)
    }

    /// Runs a loader on the program's own runtime, within its time limit.
    async fn load_limited(&self, request: ReadRequest) -> Result<Entry, ReadError> {
        let ReadRequest { key: KeyNames { name, .. }, load, options, .. } = request;
        let (began, (_, limit)) = (Instant::now(), options.load_limits(&self.settings));
        let load = nested::run(vec![self.id.load(&name)], load);
        let load = AbortOnDropHandle::new(self.loads.spawn(load));
        let loaded = match tokio::time::timeout(limit, load).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(_)) => Err(ReadError::Panicked),
            Err(_) => Err(ReadError::TooSlow(limit)),
        };
        metrics::histogram!("cache_load_seconds", "ns" => self.space(&name)).record(began.elapsed());
        self.counters.load(loaded.is_err());
        if let Err(error) = &loaded {
            self.events.send(|| Event::LoadFailed { key: name, error: error.clone() });
        }
        loaded
    }
}

async fn keep_lease(redis: &Redis, keys: &RedisKeys, token: &LeaseToken) -> Infallible {
    loop {
        tokio::time::sleep(redis.renewal()).await;
        redis.renew(keys, token).await;
    }
}

/// Asks Redis for a value or a lease, together with the other keys of a call or alone.
async fn ask(
    gathered: Option<GatherSlot>,
    redis: &Redis,
    keys: &RedisKeys,
    is_loading_elsewhere: bool,
) -> Result<Acquired, Error> {
    let losses = redis.losses();
    let acquired = match gathered {
        Some(gathered) => gathered.acquire(redis, keys).await,
        None => redis.acquire_value(keys, is_loading_elsewhere).await,
    }?;
    // After a loss the value may be another server's: it is worth asking again, if that may be done.
    let is_doubtful = matches!(acquired, Acquired::Value { .. }) && redis.losses() != losses;
    Ok(if is_doubtful { Acquired::Busy } else { acquired })
}
