//! How a provider is, for operators.

use std::time::Duration;

use examhall_core::{Circuit, ProviderStatus, RateUse, Timestamp};
use examhall_delivery::Quota;

use super::Provider;
use crate::smtp::{circuit_breaker::CircuitState, error::SmtpError, provider_failure::ProviderFailure, reply::Reply};

/// The failure that opened the circuit last.
pub(super) struct Outage {
    failure: ProviderFailure,
    reply: Option<String>,
    reason: String,
}

impl Outage {
    pub(super) fn new(failure: ProviderFailure, error: &SmtpError) -> Self {
        Self { failure, reply: error.refusal().map(Reply::codes), reason: error.label() }
    }
}

impl From<CircuitState> for Circuit {
    fn from(state: CircuitState) -> Self {
        match state {
            CircuitState::NeedsOperator => Self::NeedsOperator,
            CircuitState::Open => Self::Open,
            CircuitState::Limited => Self::Limited,
            CircuitState::HalfOpen => Self::HalfOpen,
            CircuitState::Closed => Self::Closed,
        }
    }
}

impl Provider {
    /// State of its circuit.
    pub(crate) fn circuit(&self) -> Circuit {
        self.circuit_state().into()
    }

    /// How it is at `now`, in ms since 1970.
    pub(in crate::smtp) async fn status(&self, now: i64) -> ProviderStatus {
        let after = |span: Duration| Timestamp::from_millis(now).plus(span);
        let rates = self.rates().await;
        let since = self.breaker.lock().outage_since().map(|since| since.elapsed());
        let mut status = ProviderStatus {
            circuit: self.circuit(),
            since: since.map(|span| Timestamp::from_millis(now).minus(span)),
            next_probe_at: self.next_probe().map(after),
            held_until: self.held_for().map(after),
            rates,
            ..ProviderStatus::closed(self.name())
        };
        if let (Some(outage), Some(_)) = (&*self.outage.lock(), status.since) {
            status.failure = Some(outage.failure.as_str().to_owned());
            status.reply.clone_from(&outage.reply);
            status.reason = Some(outage.reason.clone());
        }
        status
    }

    /// How much of its rates is used; none while Redis is unavailable.
    async fn rates(&self) -> Vec<RateUse> {
        let quotas = self.server.limits.quotas();
        if quotas.is_empty() {
            return Vec::new();
        }
        let used = self.limiter.used(&self.server.account(), &quotas).await.unwrap_or_default();
        let rate = |((limit, quota), used): ((String, Quota), u32)| RateUse { limit, used, allowed: quota.count };
        quotas.into_iter().zip(used).map(rate).collect()
    }
}
