//! The link that keeps memory coherent: a connection on which Redis sends invalidation messages, and heartbeats on it that
//! prove, twice a second, that none was missed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_redis::{Connection, Invalidated, Invalidations};

use crate::{
    Error,
    cache::Inner,
    connection::{MAX_TIMEOUT, connect, within},
    redis::{HeartbeatReply, HeartbeatWrite, Redis},
};

/// Interval of heartbeats: four within the time that a proof lasts.
const HEARTBEAT: Duration = Duration::from_millis(500);
/// Heartbeats that fail before the link is connected again, and between further attempts.
const ASTRAY: u32 = 3;

/// Starts the link, the retries of unconfirmed invalidations, and the watch over Redis's trust.
pub(crate) fn start(cache: &Arc<Inner>, url: &str) -> Result<(), Error> {
    let link = Link {
        connection: connect(url)?,
        cache: Arc::clone(cache),
        canary: canary(&cache.prefix),
        sent: AtomicI64::new(0),
        known_canary: AtomicI64::new(0),
        astray: AtomicU32::new(0),
    };
    let stop = cache.stop.clone();
    cache.runtime.handle().spawn(async move {
        stop.run_until_cancelled(link.run()).await;
        link.connection.close().await;
    });
    let (trust, stop) = (Arc::clone(cache), cache.stop.clone());
    cache.runtime.handle().spawn(async move { stop.run_until_cancelled(trust.maintain_trust()).await });
    let (retries, stop) = (Arc::clone(cache), cache.stop.clone());
    cache.runtime.handle().spawn(async move { stop.run_until_cancelled(retries.retry_unconfirmed()).await });
    Ok(())
}

/// Returns a key of this process alone, outside of the tracked prefixes: if it is gone, Redis was flushed.
fn canary(prefix: &str) -> String {
    format!("cc:{{{prefix}{}}}", uuid::Uuid::new_v4().simple())
}

struct Link {
    connection: Connection,
    cache: Arc<Inner>,
    canary: String,
    sent: AtomicI64,
    /// Number of the heartbeat that created the canary. If it changes, Redis was flushed, even if the heartbeat that found
    /// that out got no answer.
    known_canary: AtomicI64,
    /// Heartbeats in a row that this connection refused, or that the server of the other connections has not seen.
    astray: AtomicU32,
}

/// A heartbeat that was answered.
struct Heartbeat {
    sent_at: Instant,
    is_tracking: bool,
    /// Whether the server of the other connections has not seen it: it is another server.
    is_elsewhere: bool,
    reply: HeartbeatReply,
}

impl Link {
    async fn run(&self) {
        let (mut pushes, mut links) = (self.connection.invalidations(), self.connection.link_events());
        let mut clock = tokio::time::interval(HEARTBEAT);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut untracked = Some("tracking");
        loop {
            tokio::select! {
                biased;
                () = links.reconnected() => {
                    if let Some(local) = &self.cache.local {
                        local.suspend();
                    }
                    untracked = Some("reconnect");
                    clock.reset_immediately();
                }
                push = pushes.next() => self.on_push(push),
                _ = clock.tick() => {
                    untracked = self.prove(untracked, &mut pushes).await;
                    self.publish();
                }
            }
        }
    }

    /// Proves the link. If Redis does not track the cache's keys for this connection (`untracked` names the cause), turns
    /// tracking on and clears memory. Returns the cause if they are untracked afterwards.
    async fn prove(&self, untracked: Option<&'static str>, pushes: &mut Invalidations) -> Option<&'static str> {
        if let Some(cause) = untracked.filter(|_| self.cache.is_linked) {
            if !self.track().await {
                return untracked;
            }
            self.clear_memory(cause);
        }
        let mut heartbeat = Box::pin(self.heartbeat());
        let heartbeat = loop {
            tokio::select! {
                biased;
                push = pushes.next() => self.on_push(push),
                heartbeat = &mut heartbeat => break heartbeat,
            }
        };
        // On one socket, messages sent before the answer have arrived before it.
        while let Some(push) = pushes.try_next() {
            self.on_push(push);
        }
        match heartbeat {
            Ok(heartbeat) => {
                self.on_heartbeat(&heartbeat);
                self.leave_if_astray(&heartbeat).await;
                if heartbeat.is_tracking { None } else { Some("tracking") }
            }
            // The next heartbeat asks the same connection, or a new one that is not tracking.
            Err(error) => {
                tracing::debug!(%error, "no heartbeat from Redis");
                None
            }
        }
    }

    fn on_heartbeat(&self, heartbeat: &Heartbeat) {
        if let Some(canary) = heartbeat.reply.created
            && self.known_canary.swap(canary, Ordering::Relaxed) != canary
        {
            self.clear_memory("flushed");
        }
        if heartbeat.reply.write == HeartbeatWrite::Refused {
            // Invalidations are lost now, in Redis and in the messages.
            self.clear_memory("refuses writes");
            self.cache.pending.distrust();
        } else if heartbeat.is_elsewhere {
            // Messages about what is written there do not arrive here.
            self.clear_memory("elsewhere");
        } else if let Some(local) = self.cache.local.as_ref().filter(|_| heartbeat.is_tracking) {
            local.prove(heartbeat.sent_at);
        }
    }

    /// Connects again if this connection stays with a server that takes no writes, or that is not the one of the other
    /// connections: a balancer, DNS or a fail-over has moved the name to another server, and this one lives on.
    async fn leave_if_astray(&self, heartbeat: &Heartbeat) {
        let cause = match heartbeat.reply.write {
            HeartbeatWrite::Refused => "refuses writes",
            _ if heartbeat.is_elsewhere => "elsewhere",
            _ => return self.astray.store(0, Ordering::Relaxed),
        };
        let times = self.astray.fetch_add(1, Ordering::Relaxed) + 1;
        if !times.is_multiple_of(ASTRAY) {
            return;
        }
        metrics::counter!("cache_link_reconnects_total", "cause" => cause).increment(1);
        if times == ASTRAY {
            tracing::warn!(cause, "Cache link leads to a wrong server: connecting again");
        }
        self.connection.reconnect().await;
        if let Some(redis) = self.cache.redis.as_ref().filter(|_| heartbeat.is_elsewhere) {
            redis.reconnect().await;
        }
    }

    fn publish(&self) {
        let Some(local) = &self.cache.local else { return };
        let is_live = !self.cache.is_linked || local.is_proven(Instant::now());
        metrics::gauge!("cache_l1_live").set(f64::from(u8::from(is_live)));
        local.publish();
    }

    /// Turns on invalidation messages for all keys of the cache. Returns whether that succeeded.
    async fn track(&self) -> bool {
        self.connection.track(self.cache.spaces.beginnings()).await.is_ok()
    }

    async fn heartbeat(&self) -> Result<Heartbeat, Error> {
        let sent_at = Instant::now();
        let redis = self.cache.redis.as_ref().expect("a link leads to Redis");
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let reply = redis.heartbeat(&self.connection, &self.canary, number).await?;
        // Asked last: a connection that was made meanwhile is not tracking.
        let is_tracking = self.cache.is_linked && within(HEARTBEAT, self.connection.is_tracking(MAX_TIMEOUT)).await?;
        let is_elsewhere = reply.write == HeartbeatWrite::Done && self.is_unseen(redis, number).await;
        Ok(Heartbeat { sent_at, is_tracking, is_elsewhere, reply })
    }

    /// Returns whether the server of the other connections answers and has not seen this heartbeat.
    async fn is_unseen(&self, redis: &Redis, number: i64) -> bool {
        redis.seen_heartbeat(&self.canary).await.is_ok_and(|seen| seen.is_none_or(|seen| seen < number))
    }

    fn on_push(&self, push: Invalidated) {
        match push {
            Invalidated::Keys(keys) => keys.iter().for_each(|key| self.cache.drop_local(key)),
            Invalidated::Lagged => {
                metrics::counter!("cache_push_lagged_total").increment(1);
                self.clear_memory("lagged");
            }
            Invalidated::Closed => self.clear_memory("closed"),
        }
    }

    fn clear_memory(&self, cause: &'static str) {
        if let Some(local) = &self.cache.local {
            local.begin_epoch(cause);
        }
        self.cache.flights.taint_all();
    }
}
