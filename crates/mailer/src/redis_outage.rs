//! Outages of Redis as the handler sees them, with one line in the log at the beginning and one at the end.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use crate::attempt_outcome::AttemptOutcome;

/// Whether there is an outage. Cheap to clone; clones share the state.
#[derive(Clone, Debug, Default)]
pub(crate) struct RedisOutage(Arc<AtomicBool>);

impl RedisOutage {
    /// Notes how an attempt ended. An outage ends with one for which Redis was read and written.
    pub(crate) fn note(&self, outcome: &AttemptOutcome) {
        match outcome {
            AttemptOutcome::NoRedis(error) if !self.0.swap(true, Ordering::Relaxed) => {
                tracing::warn!(error, "Ledger or suppressions not reached: mails wait");
            }
            AttemptOutcome::Sent(_) | AttemptOutcome::Deferred(_) | AttemptOutcome::Ambiguous(_)
                if self.0.swap(false, Ordering::Relaxed) =>
            {
                tracing::info!("Ledger and suppressions reached again");
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn outage_ends_only_when_redis_was_written() {
        let outage = RedisOutage::default();
        let is_on = || outage.0.load(Ordering::Relaxed);
        outage.note(&AttemptOutcome::NoRedis("OOM".to_owned()));
        outage.note(&AttemptOutcome::Expired);
        assert!(is_on(), "Redis may be full, and mails that expire write nothing");
        outage.note(&AttemptOutcome::Sent(serde_json::Value::Null));
        assert!(!is_on());
    }
}
