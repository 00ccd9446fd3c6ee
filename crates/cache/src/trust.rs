//! Whether the values in Redis may be read: not while invalidations may have been lost or refused there, until they have
//! been repeated.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long a read waits for invalidations to be repeated to a Redis that was just replaced.
const MAX_WAIT: Duration = Duration::from_millis(50);

pub(crate) struct Trust(watch::Sender<State>);

#[derive(Clone, Copy)]
struct State {
    is_trusted: bool,
    since: Instant,
    /// How often trust was lost: work that began before the last loss does not regain it.
    losses: u64,
}

impl Trust {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State { is_trusted: false, since: Instant::now(), losses: 0 }))
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.0.borrow().is_trusted
    }

    pub(crate) fn losses(&self) -> u64 {
        self.0.borrow().losses
    }

    pub(crate) fn lose(&self) {
        self.0.send_modify(|state| {
            *state = State { is_trusted: false, since: Instant::now(), losses: state.losses + 1 };
        });
    }

    /// Regains trust unless it was lost again after `losses` was read.
    pub(crate) fn regain(&self, losses: u64) {
        self.0.send_if_modified(|state| {
            let is_regained = state.losses == losses;
            state.is_trusted |= is_regained;
            is_regained
        });
    }

    /// Waits a moment if trust was lost just now: reading the database instead would cost a load in each process.
    pub(crate) async fn wait_if_just_lost(&self) {
        let State { is_trusted, since, .. } = *self.0.borrow();
        if !is_trusted && since.elapsed() < MAX_WAIT {
            let mut states = self.0.subscribe();
            let regained = states.wait_for(|state| state.is_trusted);
            let _ = tokio::time::timeout(MAX_WAIT, regained).await; // the caller checks again in either case
        }
    }
}
