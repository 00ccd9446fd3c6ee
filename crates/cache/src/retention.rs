//! How long entries are kept, in memory and in Redis.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use crate::{
    cache::Inner,
    entry::{Entry, Span},
    flight::FlightTicket,
    keys::KeyNames,
    local::{Basis, LocalEntry},
};

/// How long memory may serve an entry, and what makes that safe.
#[derive(Clone, Copy)]
pub(crate) struct Retention {
    pub(crate) ttl: Duration,
    pub(crate) basis: Basis,
}

impl Inner {
    /// Keeps an entry in memory, unless its key was invalidated since `ticket` was issued. A random part of the time is cut
    /// off, so that entries do not expire together.
    pub(crate) fn keep_local(&self, key: &KeyNames, entry: &Arc<Entry>, retention: Retention, ticket: &FlightTicket) {
        let Some(local) = self.local.as_ref().filter(|local| local.fits(entry)) else { return };
        let Retention { mut ttl, basis } = retention;
        if entry.is_nothing() {
            ttl = ttl.min(self.settings.negative_ttl);
        }
        ttl = entry.rest().map_or(ttl, |rest| ttl.min(rest));
        if !ttl.is_zero() {
            let until = Instant::now() + ttl.mul_f64(1.0 - self.settings.local_jitter * fastrand::f64());
            let slot = self.servers.slot(&key.name);
            // Under the lock of the flights, so that no invalidation of a group comes before it joins.
            self.flights.if_untainted(ticket, || {
                let membership = local.members.join(&key.groups);
                let (entry, epoch) = (Arc::clone(entry), ticket.epoch);
                local.insert(Arc::clone(&key.name), LocalEntry { entry, until, slot, epoch, basis, membership });
            });
            local.make_room_for(entry);
        }
    }

    /// Returns the time to live in Redis: a random part less than `hard`, so that entries stored together do not expire
    /// together, and zero if it has ended. A pinned entry becomes stale only after its pin has ended.
    pub(crate) fn redis_ttl(&self, entry: &Entry, hard: Duration) -> Duration {
        if entry.is_nothing() {
            return self.settings.negative_ttl;
        }
        let ttl = hard.mul_f64(1.0 - self.settings.redis_jitter * fastrand::f64());
        match entry.span {
            Span::OfKey => ttl,
            Span::AtLeast(pin) => ttl.max(pin + entry.grace),
            Span::AtMost(_) => ttl.min(entry.rest().unwrap_or_default()),
        }
    }
}
