//! The claims of a worker's jobs, shared with the tasks that renew their locks.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::heartbeat::{BEAT, FENCE};
use crate::{Claim, claim::Fence};

/// Claims of the jobs in flight, by job id.
#[derive(Clone, Debug, Default)]
pub(super) struct InFlight {
    claims: Arc<Mutex<HashMap<String, Claim>>>,
    others: Arc<AtomicBool>,
    first: Arc<Notify>,
    /// When the last heartbeat was sent that the server has received.
    beaten: Arc<Mutex<Option<Instant>>>,
    /// Whether the server may have a heartbeat of the worker.
    has_heartbeat: Arc<AtomicBool>,
}

impl InFlight {
    pub(super) fn add(&self, claim: Claim) {
        let mut claims = self.lock();
        if claims.is_empty() && self.beaten.lock().is_none_or(|sent| sent.elapsed() >= BEAT) {
            self.first.notify_one();
        }
        claims.insert(claim.id().to_owned(), claim);
    }

    /// Waits until a worker without jobs has one, and has sent no heartbeat of late.
    pub(super) async fn first_added(&self) {
        self.first.notified().await;
    }

    /// Notes that the run of a job has ended, which is not reported yet.
    pub(super) fn end(&self, id: &str, token: &str) {
        if let Some(claim) = self.lock().get(id).filter(|claim| claim.token() == token) {
            claim.end();
        }
    }

    /// Notes that the server has received a heartbeat that was sent at this time.
    pub(super) fn beaten(&self, sent: Instant) {
        *self.beaten.lock() = Some(sent);
        self.lock().values().for_each(|claim| claim.beaten(sent));
    }

    /// Notes that the server may have a heartbeat: from now on, others may judge the worker by it.
    pub(super) fn set_heartbeat(&self) {
        self.has_heartbeat.store(true, Ordering::Release);
    }

    /// Returns when a worker that is cut off counts its leases as lost.
    pub(super) fn fence(&self) -> Fence {
        Fence { after: FENCE, is_up: Arc::clone(&self.has_heartbeat) }
    }

    /// Removes a job, unless it was taken again with another token.
    pub(super) fn remove(&self, id: &str, token: &str) {
        let mut claims = self.lock();
        if claims.get(id).is_some_and(|claim| claim.token() == token) {
            claims.remove(id);
        }
    }

    /// Cancels a job, and returns whether it is in flight.
    pub(super) fn cancel(&self, id: &str, reason: &str) -> bool {
        self.lock().get(id).map(|claim| claim.cancel(reason)).is_some()
    }

    pub(super) fn all(&self) -> Vec<Claim> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Stores whether other workers have jobs; `active` is the number of all active jobs of the queue.
    pub(super) fn set_active(&self, active: usize) {
        let others = active > self.lock().len();
        self.others.store(others, Ordering::Relaxed);
    }

    /// Returns whether other workers had jobs at the last poll.
    pub(super) fn others_have_jobs(&self) -> bool {
        self.others.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Claim>> {
        self.claims.lock()
    }
}
