//! The link that keeps memory coherent: a connection on which Redis sends invalidation messages, and heartbeats on it that
//! prove, twice a second, that none was missed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Instant,
};

use examhall_redis::{Connection, Invalidated, Invalidations, SlotSet};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    cache::Inner,
    connection::{MAX_TIMEOUT, within},
    redis::{HeartbeatReply, HeartbeatWrite, Redis},
    servers::Cluster,
};

/// Heartbeats that fail before the link is connected again, and between further attempts.
const ASTRAY: u32 = 3;

/// Starts the link to a server, and the watch over its connections, until `stop`.
pub(crate) fn start(cache: &Arc<Inner>, redis: &Arc<Redis>, stop: &CancellationToken) {
    let link = Link {
        connection: redis.commands().duplicate(),
        cache: Arc::clone(cache),
        redis: Arc::clone(redis),
        canary: Mutex::new(None),
        sent: AtomicI64::new(0),
        astray: AtomicU32::new(0),
    };
    let stopped = stop.clone();
    cache.runtime.handle().spawn(async move {
        stopped.run_until_cancelled(link.run()).await;
        link.connection.close().await;
    });
    let (redis, stop) = (Arc::clone(redis), stop.clone());
    cache.runtime.handle().spawn(async move { stop.run_until_cancelled(redis.watch()).await });
}

struct Link {
    connection: Connection,
    cache: Arc<Inner>,
    redis: Arc<Redis>,
    canary: Mutex<Option<Canary>>,
    sent: AtomicI64,
    /// Heartbeats in a row that this connection refused, or that the server of the other connections has not seen.
    astray: AtomicU32,
}

/// A key of this process alone, outside of the tracked prefixes: if it is gone, Redis was flushed. In a cluster it is in a
/// slot of its node.
#[derive(Clone)]
struct Canary {
    name: String,
    /// Number of the heartbeat that created it. If it changes, Redis was flushed, even if the heartbeat that found that out
    /// got no answer.
    created: Option<i64>,
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
        let mut clock = tokio::time::interval(self.cache.settings.heartbeat);
        clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut untracked = Some("tracking");
        loop {
            tokio::select! {
                biased;
                () = links.reconnected() => {
                    self.suspend();
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
            Ok(Some(heartbeat)) => {
                self.on_heartbeat(&heartbeat);
                self.leave_if_astray(&heartbeat).await;
                if heartbeat.is_tracking { None } else { Some("tracking") }
            }
            Ok(None) => None,
            // The next heartbeat asks the same connection, or a new one that is not tracking.
            Err(error) => {
                tracing::debug!(%error, "no heartbeat from Redis");
                None
            }
        }
    }

    fn on_heartbeat(&self, heartbeat: &Heartbeat) {
        if self.is_new_canary(heartbeat.reply.created) {
            self.clear_memory("flushed");
        }
        if heartbeat.reply.write == HeartbeatWrite::Refused {
            // Invalidations are lost now, in Redis and in the messages.
            self.clear_memory("refuses writes");
            self.redis.distrust();
        } else if heartbeat.is_elsewhere {
            // Messages about what is written there do not arrive here.
            self.clear_memory("elsewhere");
        } else if let Some(local) = self.cache.local.as_ref().filter(|_| heartbeat.is_tracking) {
            local.prove(&self.slots(), heartbeat.sent_at);
            self.redis.set_proven(Some(heartbeat.sent_at));
        }
    }

    /// Returns whether the canary was created by another heartbeat than was known.
    fn is_new_canary(&self, created: Option<i64>) -> bool {
        let (Some(created), mut canary) = (created, self.canary.lock()) else { return false };
        let known = canary.as_mut().and_then(|canary| canary.created.replace(created));
        known.is_some_and(|known| known != created)
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
            tracing::warn!(cause, node = self.redis.label(), "Cache link leads to a wrong server: connecting again");
        }
        self.connection.reconnect().await;
        if heartbeat.is_elsewhere {
            self.redis.reconnect().await;
        }
    }

    fn publish(&self) {
        let Some(local) = &self.cache.local else { return };
        let is_live = !self.cache.is_linked || self.cache.servers.are_proven();
        metrics::gauge!("cache_l1_live").set(f64::from(u8::from(is_live)));
        local.publish();
    }

    /// Turns on invalidation messages for all keys of the cache. Returns whether that succeeded.
    async fn track(&self) -> bool {
        self.connection.track(self.cache.spaces.beginnings()).await.is_ok()
    }

    /// Sends a heartbeat; none to a node of a cluster that owns no slots or serves none.
    async fn heartbeat(&self) -> Result<Option<Heartbeat>, Error> {
        let sent_at = Instant::now();
        if let Some(cluster) = self.cache.servers.cluster()
            && !self.claim_slots(cluster).await?
        {
            return Ok(None);
        }
        let Some(canary) = self.canary_name() else { return Ok(None) };
        let number = self.sent.fetch_add(1, Ordering::Relaxed) + 1;
        let reply = self.redis.heartbeat(&self.connection, &canary, number).await?;
        // Asked last: a connection that was made meanwhile is not tracking.
        let is_tracking = self.cache.is_linked
            && within(self.cache.settings.heartbeat, self.connection.is_tracking(MAX_TIMEOUT)).await?;
        let is_elsewhere = reply.write == HeartbeatWrite::Done && self.is_unseen(&canary, number).await;
        Ok(Some(Heartbeat { sent_at, is_tracking, is_elsewhere, reply }))
    }

    /// Asks a node of a cluster which slots it owns; those that it has won or lost begin a new epoch. Returns whether it
    /// serves keys.
    async fn claim_slots(&self, cluster: &Cluster) -> Result<bool, Error> {
        let had_slots = !self.slots().is_empty();
        let view = within(self.cache.settings.heartbeat, self.connection.cluster_view(MAX_TIMEOUT)).await?;
        let is_serving = view.is_serving;
        self.clear_slots(&cluster.learn(&self.redis, view), "moved");
        let owned = self.slots();
        if !had_slots && !owned.is_empty() {
            self.redis.distrust(); // a replica was promoted, which may lack recent invalidations
        }
        if owned.is_empty() {
            self.redis.set_proven(Some(Instant::now())); // of its slots, there is none that is not
        }
        Ok(is_serving && !owned.is_empty())
    }

    /// Returns the name of the canary, of a new one if its slot has moved: whether the node was flushed meanwhile is then
    /// unknown.
    fn canary_name(&self) -> Option<String> {
        let slots = self.slots();
        let current = self.canary.lock().clone();
        if let Some(current) = current {
            if slots.contains(self.cache.servers.slot(&current.name)) {
                return Some(current.name);
            }
            self.clear_memory("canary");
        }
        let name = self.cache.with_prefix(&uuid::Uuid::new_v4().simple().to_string());
        let name = self.cache.servers.own_key(&slots, &name)?;
        *self.canary.lock() = Some(Canary { name: name.clone(), created: None });
        Some(name)
    }

    /// Returns whether the server of the other connections answers and has not seen this heartbeat.
    async fn is_unseen(&self, canary: &str, number: i64) -> bool {
        self.redis.seen_heartbeat(canary).await.is_ok_and(|seen| seen.is_none_or(|seen| seen < number))
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

    /// Returns the slots for which this link stands.
    fn slots(&self) -> SlotSet {
        self.cache.servers.slots_of(&self.redis)
    }

    fn suspend(&self) {
        self.redis.set_proven(None);
        if let Some(local) = &self.cache.local {
            local.suspend(&self.slots());
        }
    }

    fn clear_memory(&self, cause: &'static str) {
        self.redis.set_proven(None);
        self.clear_slots(&self.slots(), cause);
    }

    fn clear_slots(&self, slots: &SlotSet, cause: &'static str) {
        self.cache.clear_slots(slots, cause);
        if self.redis.master.is_some() && !slots.is_empty() {
            let node = self.redis.label();
            tracing::debug!(node, cause, "memory is cleared for slots of a node");
            metrics::counter!("cache_node_epochs_total", "node" => node, "cause" => cause).increment(1);
        }
    }
}
