//! The course of one load: who loads, for how long, what is kept of it.

use std::{
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio_util::task::AbortOnDropHandle;

use crate::{
    ReadError, Source,
    cache::Inner,
    entry::Entry,
    error::Panicked,
    flight::{Flight, Outcome, Pass},
    local::{PROOF, Warrant},
    redis::{Acquired, Anew, LEASE, RENEW_EVERY, Redis, Token},
    script::Names,
    verbs::{Load, Plan},
};

/// How long a loader may take where nothing else can be answered.
const HARD_LIMIT: Duration = Duration::from_secs(3);
/// The same where there is an aged value to answer.
const SOFT_LIMIT: Duration = Duration::from_millis(100);
/// First and longest pause of a process that waits for another's load, where no news of it arrives.
const POLL: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(50));
/// How long a failure is everybody's answer.
const FAILURE_LASTS: Duration = Duration::from_millis(250);
/// Life of the knowledge that there is nothing.
const NOTHING_LASTS: Duration = Duration::from_secs(5);

/// A value that is past its time, and was never invalidated.
struct Aged {
    entry: Arc<Entry>,
    /// How long past.
    age: Duration,
}

impl Aged {
    fn serve(self, space: &'static str) -> (Arc<Entry>, Source) {
        metrics::histogram!("cache_stale_age_seconds", "ns" => space).record(self.age);
        (self.entry, Source::Stale)
    }
}

impl Inner {
    /// Gets what stands under a key, and tells all who wait.
    pub(crate) async fn fly(self: Arc<Self>, flight: Arc<Flight>, plan: Plan) {
        let course = AssertUnwindSafe(Arc::clone(&self).course(Arc::clone(&flight), plan));
        let panicked = |_| Err(ReadError::Load(Arc::new(Panicked)));
        let outcome = course.catch_unwind().await.unwrap_or_else(panicked);
        let has_failed = matches!(&outcome, Err(_) | Ok((_, Source::Stale)));
        if has_failed {
            flight.land(outcome);
            tokio::time::sleep(FAILURE_LASTS).await;
            self.flights.leave(&flight);
        } else {
            self.flights.leave(&flight);
            flight.land(outcome);
        }
    }

    async fn course(self: Arc<Self>, flight: Arc<Flight>, plan: Plan) -> Outcome {
        // Whoever loads is alive while the lease lasts, and gives up first.
        let (names, give_up) = (self.names(&plan.key), Instant::now() + HARD_LIMIT + LEASE);
        let mut pause = POLL.0;
        loop {
            if let Some(redis) = &self.redis {
                redis.settled().await;
            }
            let (epoch, pass) = (self.epoch(), self.flights.enter(&flight));
            let Some(redis) = self.trusted_redis(&plan.key) else { return self.load_alone(plan, &pass, epoch).await };
            let (mut acquired, mut aged) = (redis.acquire(&names, Anew::Never).await, None);
            if let Ok(Acquired::Value(bytes, left)) = &acquired {
                let (left, Some(entry)) = (*left, (plan.decode)(bytes)) else {
                    metrics::counter!("cache_decode_errors_total", "ns" => self.space(&plan.key)).increment(1);
                    return self.load_unleased(plan, Some((&pass, epoch, Warrant::Link))).await;
                };
                let Some(left) = left.filter(|left| *left <= entry.grace) else {
                    return Ok((self.found(entry, left, plan, &pass, epoch), Source::Redis));
                };
                aged = Some(Aged { age: entry.grace.saturating_sub(left), entry: Arc::new(entry) });
                acquired = redis.acquire(&names, Anew::IfLeft(left)).await;
            }
            match acquired {
                Ok(Acquired::Value(..)) => {} // somebody has loaded it meanwhile
                Ok(Acquired::Lease(token)) => return self.lead(plan, token, aged, pass, epoch).await,
                Ok(Acquired::Marked) => return self.load_unleased(plan, None).await,
                Ok(Acquired::Busy) => {
                    if let Some(aged) = aged {
                        return Ok(aged.serve(self.space(&plan.key)));
                    }
                    if Instant::now() > give_up {
                        return self.load_unleased(plan, None).await;
                    }
                    tokio::select! {
                        () = flight.woken.notified() => {}
                        () = tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64())) => {}
                    }
                    pause = (pause * 2).min(POLL.1);
                }
                Err(error) => {
                    tracing::debug!(%error, "Redis bypassed");
                    return self.load_alone(plan, &pass, epoch).await;
                }
            }
        }
    }

    /// Redis has it: keep it in memory, and read it anew in the background where that is due.
    fn found(
        self: &Arc<Self>,
        entry: Entry,
        left: Option<Duration>,
        plan: Plan,
        pass: &Pass,
        epoch: u64,
    ) -> Arc<Entry> {
        let entry = Arc::new(entry);
        let most = left.map_or(plan.life.local, |left| left.min(plan.life.local));
        self.keep(&plan.key, &entry, (most, Warrant::Link), pass, epoch);
        if let Some(left) = left.filter(|left| is_due(&entry, *left, &plan)) {
            self.own.handle().spawn(Arc::clone(self).refresh(plan, Anew::IfLeft(left)));
        }
        entry
    }

    /// Reads anew what is still fresh; whoever has the lease does, one in all processes.
    pub(crate) async fn refresh(self: Arc<Self>, plan: Plan, anew: Anew) -> bool {
        let names = self.names(&plan.key);
        let Some(redis) = self.trusted_redis(&plan.key) else { return false };
        let Ok(Acquired::Lease(token)) = redis.acquire(&names, anew).await else { return false };
        let loaded = self.load_and_fill(plan, token, None).await;
        let result = if loaded.is_ok() { "ok" } else { "error" };
        metrics::counter!("cache_refreshes_total", "result" => result).increment(1);
        loaded.is_ok()
    }

    /// The right to load is ours. Where there is an aged value, nobody waits long for a new one.
    async fn lead(self: Arc<Self>, plan: Plan, token: Token, aged: Option<Aged>, pass: Pass, epoch: u64) -> Outcome {
        let (cache, space) = (Arc::clone(&self), self.space(&plan.key));
        let load = self.own.handle().spawn(async move { cache.load_and_fill(plan, token, Some((pass, epoch))).await });
        let patience = if aged.is_some() { SOFT_LIMIT } else { HARD_LIMIT * 2 };
        let loaded = match tokio::time::timeout(patience, load).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(_)) => Err(ReadError::Load(Arc::new(Panicked))),
            Err(_) => Err(ReadError::TooSlow(SOFT_LIMIT)), // it goes on
        };
        match (loaded, aged) {
            (Ok(entry), _) => Ok((entry, Source::Loaded)),
            (Err(_), Some(aged)) => Ok(aged.serve(space)),
            (Err(error), None) => Err(error),
        }
    }

    async fn load_and_fill(
        &self,
        plan: Plan,
        token: Token,
        pass: Option<(Pass, u64)>,
    ) -> Result<Arc<Entry>, ReadError> {
        let (names, key, life) = (self.names(&plan.key), plan.key, plan.life);
        let redis = self.redis.as_ref().expect("a lease comes from Redis");
        let began = Instant::now();
        let loaded = tokio::select! {
            loaded = self.limited(&key, plan.load) => loaded,
            never = keep_lease(redis, &names, &token) => match never {},
        };
        let entry = match loaded {
            Ok(entry) => Arc::new(entry),
            Err(error) => {
                redis.release(&names, &token).await;
                return Err(error);
            }
        };
        if !entry.is_storable() {
            metrics::counter!("cache_fill_total", "result" => "oversize", "ns" => self.space(&key)).increment(1);
            redis.release(&names, &token).await;
            return Ok(entry);
        }
        let filled = redis.fill(&names, token, entry.encode(), in_redis(&entry, life.hard)).await;
        if let Some((pass, epoch)) = pass {
            let warrant = match filled {
                Ok(true) => Some((life.local, Warrant::Link)),
                Ok(false) => None,
                // Nobody may tell when it is wrong: it is good for 2 s from when it was read.
                Err(_) => Some((life.local.min(PROOF).saturating_sub(began.elapsed()), Warrant::Brevity)),
            };
            if let Some(warrant) = warrant {
                self.keep(&key, &entry, warrant, &pass, epoch);
            }
        }
        Ok(entry)
    }

    /// Redis does not take part: what is loaded is good for 2 s in memory, since nobody tells when it is wrong.
    async fn load_alone(&self, plan: Plan, pass: &Pass, epoch: u64) -> Outcome {
        let warrant = Warrant::Brevity;
        self.load_unleased(plan, Some((pass, epoch, warrant))).await
    }

    /// Loads without a lease, a few at a time, and stores nothing in Redis. Whose turn has not come within the time that a
    /// load may take is sent away.
    async fn load_unleased(&self, plan: Plan, keep: Option<(&Pass, u64, Warrant)>) -> Outcome {
        let place = tokio::time::timeout(HARD_LIMIT, self.unleased.acquire()).await;
        let Ok(_place) = place else { return Err(ReadError::crowded()) };
        let began = Instant::now();
        let entry = Arc::new(self.limited(&plan.key, plan.load).await?);
        if let Some((pass, epoch, warrant)) = keep.filter(|_| entry.is_storable()) {
            // Without Redis at all, this process is the only one that changes anything.
            let is_alone = self.redis.is_none();
            let longest =
                if warrant == Warrant::Link || is_alone { plan.life.local } else { PROOF.min(plan.life.local) };
            let spent = if is_alone { Duration::ZERO } else { began.elapsed() };
            self.keep(&plan.key, &entry, (longest.saturating_sub(spent), warrant), pass, epoch);
        }
        Ok((entry, if self.redis.is_none() { Source::Loaded } else { Source::Bypass }))
    }

    /// Keeps an entry in memory. Where nothing tells of changes, for 2 s at most.
    fn keep(&self, key: &Arc<str>, entry: &Arc<Entry>, life: (Duration, Warrant), pass: &Pass, epoch: u64) {
        let Some(local) = &self.local else { return };
        let (mut life, mut warrant) = life;
        if self.redis.is_some() && !self.is_linked {
            (life, warrant) = (life.min(PROOF), Warrant::Brevity);
        }
        if entry.is_nothing() {
            life = life.min(NOTHING_LASTS);
        }
        if !life.is_zero() {
            let until = Instant::now() + life.mul_f64(0.8 + fastrand::f64() / 5.0);
            self.flights.if_clean(pass, || local.keep(key, entry, until, warrant, epoch));
        }
    }

    /// Runs a loader among the program's own tasks, no longer than it may take.
    async fn limited(&self, key: &str, load: Load) -> Result<Entry, ReadError> {
        let began = Instant::now();
        let load = AbortOnDropHandle::new(self.loads.spawn(load));
        let loaded = match tokio::time::timeout(HARD_LIMIT, load).await {
            Ok(Ok(loaded)) => loaded,
            Ok(Err(_)) => Err(ReadError::Load(Arc::new(Panicked))),
            Err(_) => Err(ReadError::TooSlow(HARD_LIMIT)),
        };
        metrics::histogram!("cache_load_seconds", "ns" => self.space(key)).record(began.elapsed());
        loaded
    }

    fn epoch(&self) -> u64 {
        self.local.as_ref().map_or(0, crate::local::Local::epoch)
    }
}

async fn keep_lease(redis: &Redis, names: &Names, token: &Token) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(RENEW_EVERY).await;
        redis.renew(names, token).await;
    }
}

/// Whether to read it anew before its time: the slower its load and the nearer that time, the likelier
/// (Vattani, Chierichetti, Lowenstein: "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015).
fn is_due(entry: &Entry, left: Duration, plan: &Plan) -> bool {
    let (Some(soft), None) = (plan.life.soft, entry.pin) else { return false };
    let until_soft = left.as_secs_f64() + soft.as_secs_f64() - plan.life.hard.as_secs_f64();
    -entry.took.as_secs_f64() * fastrand::f64().max(f64::MIN_POSITIVE).ln() >= until_soft
}

/// How long it stays in Redis: up to a tenth less than it may, so that what was stored together does not end together.
/// What is pinned is past its time only after its pin has ended.
fn in_redis(entry: &Entry, hard: Duration) -> Duration {
    if entry.is_nothing() {
        return NOTHING_LASTS;
    }
    let life = hard.mul_f64(1.0 - fastrand::f64() / 10.0);
    entry.pin.map_or(life, |pin| life.max(pin + entry.grace))
}
