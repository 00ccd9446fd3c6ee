//! How far the values in a Redis server may be trusted. In a cluster each master has its own trust.
//!
//! ```text
//!                 ┌───────────────────── connection lost, or writes refused ────────────────────┐
//!                 v                                                                             │
//!   ┌──────────────────────────┐  writes are taken,   ┌─────────────┐  the journal   ┌──────────┴──────────┐
//!   │ Lost: nothing is read    ├─────────────────────>│ Unverified  ├───────────────>│ Trusted: it is read │<─┐
//!   └──────────────────────────┘  own changes repeated└──────┬──────┘  was read      └──────────┬──────────┘  │
//!                 ^                                          │                                  └─────────────┘
//!                 └──────────────────────────────────────────┘                         the journal, each second
//! ```
//!
//! Redis may be another server than before, or the same one with older data. So after each connection nothing is read
//! until the journal was read, which knows what such values lack ([`Changes`](crate::changes::Changes)). Where the journal
//! cannot be read, since the database is down, a value is *unverified*: it is served as stale, if its key allows that and
//! no other can be loaded.
//!
//! Work that began before a loss does not restore trust: each loss has a number.

use std::time::{Duration, Instant};

use tokio::sync::watch;

/// How long a read waits for Redis to be verified after it was replaced.
const MAX_WAIT: Duration = Duration::from_millis(50);
/// How long a read whose load has failed waits for a connection that was lost.
const MAX_RECONNECT: Duration = Duration::from_secs(1);

/// How far the values in Redis may be trusted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Trust {
    /// Not at all: invalidations may be lost or refused.
    Lost,
    /// As stale values: Redis takes writes, and it is not known what has changed.
    Unverified,
    /// They are current, if they include the changes that are known.
    Trusted,
}

/// Number of a loss of trust; see [`TrustState::settle`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Losses(u64);

#[derive(Clone, Copy, Debug)]
struct State {
    trust: Trust,
    lost_at: Instant,
    losses: Losses,
}

impl State {
    /// Returns whether anything was trusted.
    fn lose(&mut self, now: Instant) -> bool {
        let was_trusted = self.trust != Trust::Lost;
        *self = Self { trust: Trust::Lost, lost_at: now, losses: Losses(self.losses.0 + 1) };
        was_trusted
    }

    /// Returns whether anything has changed.
    fn settle(&mut self, losses: Losses, trust: Trust) -> bool {
        let is_news = self.losses == losses && self.trust != trust;
        if is_news {
            self.trust = trust;
        }
        is_news
    }
}

/// The state of trust in one Redis, shared by all readers.
pub(crate) struct TrustState(watch::Sender<State>);

impl TrustState {
    pub(crate) fn new() -> Self {
        Self(watch::Sender::new(State { trust: Trust::Lost, lost_at: Instant::now(), losses: Losses(0) }))
    }

    pub(crate) fn get(&self) -> Trust {
        self.0.borrow().trust
    }

    /// Returns the time since trust was lost last; `None` if values are not trusted at all.
    pub(crate) fn reachable_since_loss(&self) -> Option<Duration> {
        let State { trust, lost_at, .. } = *self.0.borrow();
        (trust != Trust::Lost).then(|| lost_at.elapsed())
    }

    /// Returns how often trust was lost, for [`settle`](Self::settle).
    pub(crate) fn losses(&self) -> Losses {
        self.0.borrow().losses
    }

    /// Returns whether anything was trusted.
    pub(crate) fn lose(&self) -> bool {
        let mut was_trusted = false;
        self.0.send_modify(|state| was_trusted = state.lose(Instant::now()));
        was_trusted
    }

    /// Sets what was found out, unless trust was lost again after `losses` was read. Returns whether that changes anything.
    pub(crate) fn settle(&self, losses: Losses, trust: Trust) -> bool {
        self.0.send_if_modified(|state| state.settle(losses, trust))
    }

    /// Waits a moment until Redis can be read at all, for a caller that has no other value.
    pub(crate) async fn wait_until_reachable(&self) {
        let mut states = self.0.subscribe();
        let reachable = states.wait_for(|state| state.trust != Trust::Lost);
        let _ = tokio::time::timeout(MAX_RECONNECT, reachable).await; // the caller checks again in either case
    }

    /// Waits a moment if trust was lost just now: reading the database instead would cost a load in each process.
    pub(crate) async fn wait_if_just_lost(&self) {
        let State { trust, lost_at, .. } = *self.0.borrow();
        if trust < Trust::Trusted && lost_at.elapsed() < MAX_WAIT {
            let mut states = self.0.subscribe();
            let restored = states.wait_for(|state| state.trust == Trust::Trusted);
            let _ = tokio::time::timeout(MAX_WAIT, restored).await; // the caller checks again in either case
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_begun_before_a_loss_restores_no_trust() {
        let trust = TrustState::new();
        let early = trust.losses();
        assert!(trust.settle(early, Trust::Unverified) && trust.settle(early, Trust::Trusted));
        assert!(!trust.settle(early, Trust::Trusted), "it is trusted already");
        assert_eq!(trust.get(), Trust::Trusted);
        trust.lose();
        assert!(!trust.settle(early, Trust::Trusted));
        assert_eq!(trust.get(), Trust::Lost);
        assert!(trust.settle(trust.losses(), Trust::Unverified));
        assert_eq!(trust.get(), Trust::Unverified);
    }
}
