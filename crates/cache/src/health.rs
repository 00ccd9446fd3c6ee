//! The health of all Redis servers of a cache as one: the worst of them. In a cluster they are its masters.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::{events::EventSender, settings::Settings, slot_table::ServerNumber, trust::Trust};

/// What is known of one server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ServerHealth {
    pub(crate) is_circuit_open: bool,
    pub(crate) trust: Trust,
}

/// The health of all servers.
pub(crate) struct Health {
    servers: Mutex<BTreeMap<ServerNumber, ServerHealth>>,
    /// Notified when trust in one of them was lost, or one was connected first.
    changed: Notify,
    /// What all servers share.
    pub(crate) settings: Settings,
    pub(crate) events: EventSender,
}

impl Health {
    /// Returns the health of no server, and publishes it.
    pub(crate) fn new(settings: Settings, events: EventSender) -> Self {
        let health = Self { servers: Mutex::default(), changed: Notify::new(), settings, events };
        publish(&BTreeMap::new());
        health
    }

    /// Adds a server, of which nothing good is known.
    pub(crate) fn add(&self, number: ServerNumber) {
        let mut servers = self.servers.lock();
        servers.insert(number, ServerHealth { is_circuit_open: false, trust: Trust::Lost });
        publish(&servers);
    }

    /// Records and publishes the health of a server, unless it was forgotten.
    pub(crate) fn record(&self, number: ServerNumber, health: ServerHealth) {
        let mut servers = self.servers.lock();
        if let Some(known) = servers.get_mut(&number) {
            *known = health;
        }
        publish(&servers);
    }

    /// Forgets a server that is used no more.
    pub(crate) fn forget(&self, number: ServerNumber) {
        let mut servers = self.servers.lock();
        servers.remove(&number);
        publish(&servers);
    }

    /// Reports that a server is to be verified.
    pub(crate) fn change(&self) {
        self.changed.notify_one();
    }

    /// Waits until a server is to be verified.
    pub(crate) async fn changed(&self) {
        self.changed.notified().await;
    }
}

fn publish(servers: &BTreeMap<ServerNumber, ServerHealth>) {
    let trust = servers.values().map(|server| server.trust).min().unwrap_or(Trust::Lost);
    let is_unread = trust < Trust::Trusted || servers.values().any(|server| server.is_circuit_open);
    metrics::gauge!("cache_breaker_state").set(f64::from(u8::from(is_unread)));
    metrics::gauge!("cache_trust").set(f64::from(trust as u8));
}
