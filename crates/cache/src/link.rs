//! The link: a connection of its own on which Redis tells what has changed, and by which it is proven, twice a second,
//! that nothing was missed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_redis::{Connection, Invalidated, ServerEvents};

use crate::{
    Error,
    cache::Inner,
    connection::{connect, within},
};

/// How often the link is proven: four times within the time that a proof lasts.
const BEAT: Duration = Duration::from_millis(500);

/// Begins to listen, and to make up for what Redis may have missed.
pub(crate) fn start(cache: &Arc<Inner>, url: &str) -> Result<(), Error> {
    let (connection, canary) = (connect(url)?, canary(&cache.prefix));
    let link =
        Link { connection, cache: Arc::clone(cache), canary, beats: AtomicI64::new(0), known: AtomicI64::new(0) };
    let stop = cache.stop.clone();
    cache.own.handle().spawn(async move {
        stop.run_until_cancelled(link.keep()).await;
        link.connection.close().await;
    });
    let (watched, stop) = (Arc::clone(cache), cache.stop.clone());
    cache.own.handle().spawn(async move { stop.run_until_cancelled(watched.regain_trust()).await });
    let (late, stop) = (Arc::clone(cache), cache.stop.clone());
    cache.own.handle().spawn(async move { stop.run_until_cancelled(late.deliver_late()).await });
    Ok(())
}

/// A key of this process alone, outside of what is listened to: where it is gone, everything is.
fn canary(prefix: &str) -> String {
    format!("cc:{{{prefix}{}}}", uuid::Uuid::new_v4().simple())
}

struct Link {
    connection: Connection,
    cache: Arc<Inner>,
    canary: String,
    beats: AtomicI64,
    /// Which beat set the canary. Where it is of another, Redis was flushed, also where the beat that found that out had
    /// no answer.
    known: AtomicI64,
}

/// What a sign of life has shown.
struct Sign {
    sent_at: Instant,
    is_tracking: bool,
    canary: i64,
    takes_writes: bool,
}

impl Link {
    async fn keep(&self) {
        let (mut pushes, mut reconnects) = (self.connection.events(), self.connection.events());
        let mut clock = tokio::time::interval(BEAT);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut untold = Some("tracking");
        loop {
            tokio::select! {
                biased;
                () = reconnects.reconnected() => {
                    if let Some(local) = &self.cache.local {
                        local.doubt();
                    }
                    untold = Some("reconnect");
                    clock.reset_immediately();
                }
                push = pushes.invalidated() => self.hear(push),
                _ = clock.tick() => {
                    untold = self.beat(untold, &mut pushes).await;
                    self.show();
                }
            }
        }
    }

    /// Proves the link. Where Redis does not tell of changes, asks it to, and forgets what was kept before: `untold` says
    /// why that is so. Gives the same as it is then.
    async fn beat(&self, untold: Option<&'static str>, pushes: &mut ServerEvents) -> Option<&'static str> {
        if let Some(cause) = untold.filter(|_| self.cache.is_linked) {
            if !self.track().await {
                return untold;
            }
            self.forget(cause);
        }
        let mut asking = Box::pin(self.ask());
        let sign = loop {
            tokio::select! {
                biased;
                push = pushes.invalidated() => self.hear(push),
                sign = &mut asking => break sign,
            }
        };
        // On one socket what was told before the answer has arrived before it.
        while let Some(push) = pushes.try_invalidated() {
            self.hear(push);
        }
        match sign {
            Ok(sign) => {
                self.judge(&sign);
                if sign.is_tracking { None } else { Some("tracking") }
            }
            // Nothing is known; the next beat asks the same connection, or a new one that says "off".
            Err(error) => {
                tracing::debug!(%error, "no sign of life from Redis");
                None
            }
        }
    }

    fn judge(&self, sign: &Sign) {
        if self.known.swap(sign.canary, Ordering::Relaxed) != sign.canary {
            self.forget("flushed");
        }
        if !sign.takes_writes {
            // What is invalidated now is not heard of, here or there.
            self.forget("refuses writes");
            self.cache.undelivered.distrust();
        } else if let Some(local) = self.cache.local.as_ref().filter(|_| sign.is_tracking) {
            local.prove(sign.sent_at);
        }
    }

    fn show(&self) {
        let Some(local) = &self.cache.local else { return };
        let is_live = !self.cache.is_linked || local.is_proven(Instant::now());
        metrics::gauge!("cache_l1_live").set(f64::from(u8::from(is_live)));
        local.measure();
    }

    /// Asks Redis to tell of every change under the keys of the cache.
    async fn track(&self) -> bool {
        let spaces: Vec<String> =
            self.cache.spaces.iter().map(|space| format!("{}{space}", self.cache.prefix)).collect();
        self.connection.track(spaces).await.is_ok()
    }

    async fn ask(&self) -> Result<Sign, Error> {
        let sent_at = Instant::now();
        let redis = self.cache.redis.as_ref().expect("a link leads to Redis");
        let number = self.beats.fetch_add(1, Ordering::Relaxed) + 1;
        let (canary, takes_writes) = redis.beat(&self.connection, &self.canary, number).await?;
        // Asked last: where the connection was replaced meanwhile, the new one says "off".
        let is_tracking = self.cache.is_linked && within(BEAT, self.connection.is_tracking()).await?;
        Ok(Sign { sent_at, is_tracking, canary, takes_writes })
    }

    fn hear(&self, push: Invalidated) {
        match push {
            Invalidated::Keys(keys) => keys.iter().for_each(|key| self.cache.drop_local(key)),
            Invalidated::Lagged => {
                metrics::counter!("cache_push_lagged_total").increment(1);
                self.forget("lagged");
            }
            Invalidated::Closed => self.forget("closed"),
        }
    }

    fn forget(&self, cause: &'static str) {
        if let Some(local) = &self.cache.local {
            local.begin_epoch(cause);
        }
        self.cache.flights.taint_all();
    }
}

impl Inner {
    /// Forgets one key in this process, and whatever is on its way to it.
    pub(crate) fn drop_local(&self, name: &str) {
        self.flights.taint(name);
        if let Some(local) = &self.local {
            local.remove(name);
        }
    }

    /// Whenever Redis was replaced or refused writes, invalidations may be lost there: it is read again once the recent
    /// ones have been said again.
    async fn regain_trust(&self) {
        let Some(redis) = &self.redis else { return };
        let mut events = redis.commands().events();
        while redis.ready().await.is_err() {
            tokio::time::sleep(BEAT).await;
        }
        // The first connection is announced too, a little later.
        let _ = tokio::time::timeout(Duration::from_millis(20), events.reconnected()).await;
        loop {
            events = redis.commands().events();
            let (known, mut pause) = (redis.losses(), Duration::from_millis(50));
            while !self.repeat_recent(redis).await {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(1));
            }
            if events.is_uninterrupted() {
                redis.trust(known);
            }
            tokio::select! {
                () = events.interrupted() => {}
                () = self.undelivered.distrusted() => {}
            }
            redis.distrust();
        }
    }
}
