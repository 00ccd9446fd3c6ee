//! The jobs a worker has, shared with those who keep their locks.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::Claim;

/// The jobs a worker has, by id.
#[derive(Clone, Debug, Default)]
pub(super) struct InHand {
    claims: Arc<Mutex<HashMap<String, Claim>>>,
    others: Arc<AtomicBool>,
}

impl InHand {
    pub(super) fn add(&self, claim: Claim) {
        self.lock().insert(claim.id().to_owned(), claim);
    }

    /// Forgets a job, unless it has been taken again under another token.
    pub(super) fn remove(&self, id: &str, token: &str) {
        let mut claims = self.lock();
        if claims.get(id).is_some_and(|claim| claim.token() == token) {
            claims.remove(id);
        }
    }

    pub(super) fn all(&self) -> Vec<Claim> {
        self.lock().values().cloned().collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().is_empty()
    }

    /// Takes note of how many jobs are active in the whole queue.
    pub(super) fn note_active(&self, active: usize) {
        let others = active > self.lock().len();
        self.others.store(others, Ordering::Relaxed);
    }

    /// Whether other workers had jobs when this one looked last.
    pub(super) fn others_have_some(&self) -> bool {
        self.others.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Claim>> {
        self.claims.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
