//! How far one server may be trusted, and whether its link is proven.

use std::time::{Duration, Instant};

use super::Redis;
use crate::{
    Error, Event,
    health::ServerHealth,
    trust::{Losses, Trust},
};

/// Interval at which a connection that is not there yet is looked for.
const CONNECT_POLL: Duration = Duration::from_millis(500);

impl Redis {
    /// Returns whether it answers, and its values may be read.
    pub(crate) fn is_well(&self) -> bool {
        self.is_trusted() && !self.is_circuit_open()
    }

    /// Returns how far its values may be trusted.
    pub(crate) fn trust(&self) -> Trust {
        self.trust.get()
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trust() == Trust::Trusted
    }

    /// Stops reading its values until they are verified.
    pub(crate) fn distrust(&self) {
        if self.trust.lose() {
            self.health.events.send(|| Event::TrustChanged(Trust::Lost));
        }
        self.publish(self.breaker.lock().is_open());
        self.health.change();
    }

    /// Stops reading its values whenever a connection is lost: it may be another server then, or have older data.
    pub(crate) async fn watch(&self) {
        let mut events = self.commands.link_events();
        let connected = async {
            while self.ready().await.is_err() {
                tokio::time::sleep(CONNECT_POLL).await;
            }
            self.health.change();
        };
        let interrupted = async {
            let mut is_first = true;
            loop {
                // The first connection is reported, too, perhaps when it is trusted already. Losses all count, from the start.
                let is_made = events.interrupted().await;
                if is_made && std::mem::take(&mut is_first) {
                    continue;
                }
                events = self.commands.link_events();
                self.distrust();
            }
        };
        tokio::join!(connected, interrupted);
    }

    pub(crate) async fn ready(&self) -> Result<(), Error> {
        self.commands.ready().await?;
        Ok(self.bulk.ready().await?)
    }

    /// Returns the time since trust was lost last; `None` if its values are not trusted at all.
    pub(crate) fn reachable_since_loss(&self) -> Option<Duration> {
        self.trust.reachable_since_loss()
    }

    /// Returns how often trust was lost, for [`settle`](Self::settle).
    pub(crate) fn losses(&self) -> Losses {
        self.trust.losses()
    }

    /// Sets how far its values may be trusted, unless trust was lost again after `losses` was read.
    pub(crate) fn settle(&self, losses: Losses, trust: Trust) {
        if self.trust.settle(losses, trust) {
            self.health.events.send(|| Event::TrustChanged(trust));
            self.close_circuit();
        }
    }

    pub(super) fn publish(&self, is_circuit_open: bool) {
        self.health.record(self.number, ServerHealth { is_circuit_open, trust: self.trust() });
    }

    /// Waits a moment if Redis was replaced just now, until recent invalidations have been repeated to it.
    pub(crate) async fn wait_if_just_replaced(&self) {
        if self.commands.is_connected() {
            self.trust.wait_if_just_lost().await;
        }
    }

    /// Waits a moment for a connection that was lost just now to be made again.
    pub(crate) async fn wait_until_reachable(&self) {
        self.trust.wait_until_reachable().await;
    }

    /// Records the heartbeat, by when it was sent, that has proven its link last; `None` if it is not proven any more.
    pub(crate) fn set_proven(&self, sent_at: Option<Instant>) {
        *self.proven.lock() = sent_at;
    }

    /// Returns whether its link is proven now.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven.lock().is_some_and(|sent_at| sent_at.elapsed() < self.health.settings.proof())
    }
}
