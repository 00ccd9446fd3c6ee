//! Loads on their way: one per key in this process, and who waits for it.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use tokio::sync::{Notify, watch};

use crate::{ReadError, Source, entry::Entry};

/// What a flight brought.
pub(crate) type Outcome = Result<(Arc<Entry>, Source), ReadError>;

/// All flights of this process.
#[derive(Default)]
pub(crate) struct Flights {
    by_key: Mutex<HashMap<Arc<str>, Arc<Flight>>>,
    pub(crate) waiting: AtomicUsize,
}

/// One load on its way.
pub(crate) struct Flight {
    key: Arc<str>,
    /// How many invalidations of its key it has seen.
    taints: AtomicU64,
    /// Something was stored or invalidated under its key: look again.
    pub(crate) woken: Notify,
    outcome: watch::Sender<Option<Outcome>>,
}

/// Proof that a flight could be tainted from this moment on: what is read from now on may be kept while it is clean.
pub(crate) struct Pass {
    flight: Arc<Flight>,
    taints: u64,
}

impl Flights {
    /// The flight of a key, and whether the caller is to fly it.
    pub(crate) fn join(&self, key: &str) -> (Arc<Flight>, bool) {
        let mut flights = self.lock();
        if let Some(flight) = flights.get(key) {
            return (Arc::clone(flight), false);
        }
        let (key, outcome) = (Arc::<str>::from(key), watch::Sender::new(None));
        let flight =
            Arc::new(Flight { key: Arc::clone(&key), taints: AtomicU64::new(0), woken: Notify::new(), outcome });
        flights.insert(key, Arc::clone(&flight));
        (flight, true)
    }

    /// Lists a flight, where an invalidation has struck it off: what it reads from now on is new.
    pub(crate) fn enter(&self, flight: &Arc<Flight>) -> Pass {
        let mut flights = self.lock();
        flights.entry(Arc::clone(&flight.key)).or_insert_with(|| Arc::clone(flight));
        Pass { flight: Arc::clone(flight), taints: flight.taints.load(Ordering::SeqCst) }
    }

    /// The value under a key has become another: whoever comes from now on does not join what was on its way.
    pub(crate) fn taint(&self, key: &str) {
        if let Some(flight) = self.lock().remove(key) {
            flight.taint();
        }
    }

    /// As [`taint`](Self::taint), for all keys.
    pub(crate) fn taint_all(&self) {
        let flights = std::mem::take(&mut *self.lock());
        for flight in flights.into_values() {
            flight.taint();
        }
    }

    /// Does `keep` if nothing has been invalidated since `pass` was given, and nothing can be until it is done: whoever
    /// invalidates taints first, which waits, and then takes away what was kept. A flight that is not listed hears of
    /// nothing.
    pub(crate) fn if_clean(&self, pass: &Pass, keep: impl FnOnce()) {
        let flights = self.lock();
        if lists(&flights, &pass.flight) && pass.flight.taints.load(Ordering::SeqCst) == pass.taints {
            keep();
        }
    }

    /// Strikes a flight off.
    pub(crate) fn leave(&self, flight: &Arc<Flight>) {
        let mut flights = self.lock();
        if lists(&flights, flight) {
            flights.remove(&flight.key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Arc<Flight>>> {
        self.by_key.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Flight {
    fn taint(&self) {
        self.taints.fetch_add(1, Ordering::SeqCst);
        self.woken.notify_one();
    }

    pub(crate) fn land(&self, outcome: Outcome) {
        self.outcome.send_replace(Some(outcome));
    }

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

/// Counts somebody who waits, as long as it lives.
pub(crate) struct Waiting<'a>(pub(crate) &'a AtomicUsize);

impl<'a> Waiting<'a> {
    /// `None` where `most` wait already.
    pub(crate) fn begin(count: &'a AtomicUsize, most: usize) -> Option<Self> {
        let waiting = Self(count);
        metrics::gauge!("cache_waiters").increment(1.0);
        let before = count.fetch_add(1, Ordering::Relaxed);
        (before < most).then_some(waiting)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
        metrics::gauge!("cache_waiters").decrement(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_flight_has_read_is_kept_while_it_is_listed_and_nothing_was_told_of_its_key() {
        let flights = Flights::default();
        let is_kept = |pass: &Pass| {
            let mut kept = false;
            flights.if_clean(pass, || kept = true);
            kept
        };
        let (flight, _) = flights.join("exam:1");
        let before = flights.enter(&flight);
        assert!(is_kept(&before));
        flights.taint("exam:1");
        let after = flights.enter(&flight);
        assert!(!is_kept(&before) && is_kept(&after), "it has read anew since");
        flights.taint("exam:1");
        let (next, is_new) = flights.join("exam:1");
        let late = flights.enter(&flight);
        assert!(is_new && !is_kept(&late), "it would hear of nothing");
        flights.leave(&flight);
        assert!(is_kept(&flights.enter(&next)), "only its own flight leaves");
        flights.leave(&next);
        assert!(!is_kept(&Pass { taints: 0, flight: next }), "a load that goes on after its flight has landed");
    }
}
