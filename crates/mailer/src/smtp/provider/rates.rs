//! Rates of a provider, which all mailers share.
//!
//! For a moment a mail waits in its slot. If the provider takes no mail for longer, it is held: no mail is taken from the queue,
//! so the most urgent one goes first when the hold ends. A mail that waits for its domain is given back to the queue until its
//! turn: mails to other domains go on.

use std::{sync::Arc, time::Duration};

use examhall_delivery::Claim;

use super::Provider;
use crate::{message::PreparedMail, smtp::delivery::DeliveryError};

/// Longest wait of a mail in its slot.
const IN_SLOT: Duration = Duration::from_secs(2);
/// A hold from this length on is logged.
const LOGGED: Duration = Duration::from_mins(1);

impl Provider {
    /// Waits for the rates. If Redis is unavailable, there are none.
    pub(super) async fn wait_for_rate(self: &Arc<Self>, mail: &PreparedMail) -> Result<(), DeliveryError> {
        let mut changes = self.changes.subscribe();
        let (of_provider, of_domains) = self.server.limits.claims(mail);
        let claims = [of_provider.as_slice(), of_domains.as_slice()].concat();
        loop {
            self.check_circuit()?; // an open circuit uses up no permit, and no mail waits for one
            if claims.is_empty() {
                return Ok(());
            }
            let Ok(waits) = self.limiter.take_all(&self.server.account(), &claims, mail.is_urgent).await else {
                return self.check_circuit();
            };
            let (of_provider, of_domains) = waits.split_at(of_provider.len().min(waits.len()));
            let wait = |waits: &[Duration]| waits.iter().max().copied().unwrap_or_default();
            match (wait(of_provider), wait(of_domains)) {
                (Duration::ZERO, Duration::ZERO) => return Ok(()),
                (Duration::ZERO, domain) => {
                    self.count_wait("domain");
                    return Err(DeliveryError::rate_limited(
                        &self.name(),
                        "the rate of its recipient's domain",
                        domain,
                    ));
                }
                (short, _) if short <= IN_SLOT => {
                    let _ = tokio::time::timeout(short, changes.changed()).await;
                }
                (long, _) => {
                    self.hold(&label(&claims, &waits), long);
                    return Err(DeliveryError::rate_limited(&self.name(), "its rate", long));
                }
            }
        }
    }

    /// How long no mail is sent, since a rate is used up.
    pub(crate) fn held_for(&self) -> Option<Duration> {
        self.hold.left()
    }

    fn hold(self: &Arc<Self>, limit: &str, wait: Duration) {
        let begins = self.hold.set(wait);
        self.publish_hold(wait);
        if !begins {
            return;
        }
        self.count_wait("provider");
        if wait >= LOGGED {
            let provider = self.name();
            tracing::info!(provider, limit, seconds = wait.as_secs(), "Provider's rate is used up: mails wait");
        }
        self.changes.send_replace(());
        let (hold, provider) = (Arc::clone(&self.hold), Arc::downgrade(self));
        tokio::spawn(async move {
            hold.ended().await;
            if let Some(provider) = provider.upgrade() {
                provider.publish_hold(Duration::ZERO);
                provider.changes.send_replace(());
            }
        });
    }

    pub(super) fn publish_hold(&self, wait: Duration) {
        metrics::gauge!("mailer_rate_hold_seconds", "provider" => self.name()).set(wait);
    }

    fn count_wait(&self, limit: &'static str) {
        metrics::counter!("mailer_rate_waits_total", "provider" => self.name(), "limit" => limit).increment(1);
    }
}

/// The limit that is waited for longest.
fn label(claims: &[Claim], waits: &[Duration]) -> String {
    let longest = claims.iter().zip(waits).filter(|(claim, _)| !claim.queues).max_by_key(|(_, wait)| **wait);
    longest.map(|(claim, _)| claim.key.clone()).unwrap_or_default()
}
