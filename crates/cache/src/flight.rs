//! Single flight: at most one load per key is in flight in this process, and all readers of the key wait for it.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use tokio::sync::{Notify, watch};

use crate::{ReadError, Source, entry::Entry, group::is_group, keys::KeyNames};

/// Result of a flight.
pub(crate) type Outcome = Result<(Arc<Entry>, Source), ReadError>;

/// All flights of this process.
#[derive(Default)]
pub(crate) struct Flights {
    by_key: Mutex<HashMap<Arc<str>, Arc<Flight>>>,
    pub(crate) waiting: AtomicUsize,
}

/// One load in flight.
pub(crate) struct Flight {
    key: Arc<str>,
    groups: Arc<[String]>,
    /// Invalidations of its key while it was listed.
    taints: AtomicU64,
    /// Notified when a value was stored or invalidated under its key: ask Redis again.
    pub(crate) woken: Notify,
    /// Notified when another load waits for it, which has a permit: it needs none then.
    pub(crate) needed: Notify,
    outcome: watch::Sender<Option<Outcome>>,
}

/// Shows that a flight was listed, and so receives invalidations, from this moment on: what is read from now on may be
/// kept in memory while the flight is untainted.
pub(crate) struct FlightTicket {
    pub(crate) flight: Arc<Flight>,
    taints: u64,
    /// Epoch of the key's slot in memory, read before.
    pub(crate) epoch: u64,
}

impl FlightTicket {
    /// Returns a ticket with which nothing is kept.
    pub(crate) fn void() -> Self {
        let nobody = KeyNames { name: "".into(), groups: Arc::default() };
        Self { flight: Arc::new(Flight::of(&nobody)), taints: 0, epoch: 0 }
    }
}

impl Flights {
    /// Returns the flight of a key, and whether the caller is to run it.
    pub(crate) fn join(&self, key: &KeyNames) -> (Arc<Flight>, bool) {
        let mut flights = self.by_key.lock();
        if let Some(flight) = flights.get(&key.name) {
            return (Arc::clone(flight), false);
        }
        let flight = Arc::new(Flight::of(key));
        flights.insert(Arc::clone(&flight.key), Arc::clone(&flight));
        (flight, true)
    }

    /// Issues a ticket for a read that begins now. Lists the flight again if an invalidation has removed it.
    pub(crate) fn enter(&self, flight: &Arc<Flight>, epoch: u64) -> FlightTicket {
        let mut flights = self.by_key.lock();
        flights.entry(Arc::clone(&flight.key)).or_insert_with(|| Arc::clone(flight));
        FlightTicket { flight: Arc::clone(flight), taints: flight.taints.load(Ordering::SeqCst), epoch }
    }

    /// Removes the flight of a key whose value has changed, or the flights of a group: later readers do not join them, and
    /// they keep nothing.
    pub(crate) fn taint(&self, name: &str) {
        let mut flights = self.by_key.lock();
        if let Some(flight) = flights.remove(name) {
            flight.taint();
        }
        if is_group(name) {
            for (_, flight) in flights.extract_if(|_, flight| flight.groups.iter().any(|group| group == name)) {
                flight.taint();
            }
        }
    }

    /// As [`taint`](Self::taint), for all keys for which `is_affected` returns true.
    pub(crate) fn taint_where(&self, is_affected: impl Fn(&str) -> bool) {
        for (_, flight) in self.by_key.lock().extract_if(|key, _| is_affected(key)) {
            flight.taint();
        }
    }

    /// Calls `keep` if the flight is listed and nothing was invalidated since the ticket was issued. Holds the lock
    /// meanwhile: an invalidation taints first, which waits, and then removes what was kept.
    pub(crate) fn if_untainted(&self, ticket: &FlightTicket, keep: impl FnOnce()) {
        let flights = self.by_key.lock();
        if lists(&flights, &ticket.flight) && ticket.flight.taints.load(Ordering::SeqCst) == ticket.taints {
            keep();
        }
    }

    /// Removes a flight that has ended.
    pub(crate) fn leave(&self, flight: &Arc<Flight>) {
        let mut flights = self.by_key.lock();
        if lists(&flights, flight) {
            flights.remove(&flight.key);
        }
    }
}

impl Flight {
    /// Returns one that is not listed.
    pub(crate) fn of(key: &KeyNames) -> Self {
        Self {
            key: Arc::clone(&key.name),
            groups: Arc::clone(&key.groups),
            taints: AtomicU64::new(0),
            woken: Notify::new(),
            needed: Notify::new(),
            outcome: watch::Sender::new(None),
        }
    }

    fn taint(&self) {
        self.taints.fetch_add(1, Ordering::SeqCst);
        self.woken.notify_one();
    }

    /// Waits until another load waits for it.
    pub(crate) async fn is_needed(&self) {
        self.needed.notified().await;
        self.needed.notify_one(); // it stays so
    }

    /// Reports the outcome to all waiters.
    pub(crate) fn land(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }

    /// Waits for the outcome.
    pub(crate) async fn landed(&self) -> Outcome {
        let mut outcome = self.outcome.subscribe();
        let landed = outcome.wait_for(Option::is_some).await;
        let landed = landed.expect("the sender lives as long as the flight, which is borrowed");
        landed.clone().expect("waited for")
    }
}

fn lists(flights: &HashMap<Arc<str>, Arc<Flight>>, flight: &Arc<Flight>) -> bool {
    flights.get(&flight.key).is_some_and(|listed| Arc::ptr_eq(listed, flight))
}

/// Counts a waiting reader until it is dropped.
pub(crate) struct WaiterGuard<'a>(&'a AtomicUsize);

impl<'a> WaiterGuard<'a> {
    /// Returns `None` if `max` readers are waiting.
    pub(crate) fn begin(count: &'a AtomicUsize, max: usize) -> Option<Self> {
        let guard = Self(count);
        metrics::gauge!("cache_waiters").increment(1.0);
        let before = count.fetch_add(1, Ordering::Relaxed);
        (before < max).then_some(guard)
    }
}

impl Drop for WaiterGuard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("cache_waiters").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listed_and_untainted_flight_keeps_its_value() {
        let (flights, key) =
            (Flights::default(), KeyNames { name: "exam:1".into(), groups: ["exam:*".to_owned()].into() });
        let is_kept = |ticket: &FlightTicket| {
            let mut kept = false;
            flights.if_untainted(ticket, || kept = true);
            kept
        };
        let (flight, _) = flights.join(&key);
        let before = flights.enter(&flight, 0);
        assert!(is_kept(&before));
        flights.taint("exam:1");
        let after = flights.enter(&flight, 0);
        assert!(!is_kept(&before) && is_kept(&after), "it has read again since");
        flights.taint("exam:*");
        let (next, is_new) = flights.join(&key);
        let late = flights.enter(&flight, 0);
        assert!(is_new && !is_kept(&late), "it would receive no invalidation");
        flights.leave(&flight);
        assert!(is_kept(&flights.enter(&next, 0)), "only its own flight leaves");
        flights.leave(&next);
        let landed = FlightTicket { taints: 0, flight: next, epoch: 0 };
        assert!(!is_kept(&landed), "a load that goes on after its flight has landed");
    }
}
