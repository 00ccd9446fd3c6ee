//! How an attempt to send a mail ended, and what that means for its job.

use std::time::Duration;

use examhall_delivery::Error;
use examhall_queue::{Failure, Outcome};
use serde_json::Value;

/// The end of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum End {
    /// A server took it, now or before; the value is what the job returns.
    Sent(Value),
    /// Refused for now: spends an attempt.
    Retried(String),
    /// It may have been taken: spends an attempt.
    Ambiguous(String),
    /// To be tried again after this time without spending an attempt.
    Parked(Duration),
    /// Given back as it was.
    Returned,
    /// No further try can help.
    Failed(String),
    /// Nobody is left that may be sent to.
    Suppressed(String),
    /// Its time has passed.
    Expired,
}

impl End {
    /// Without the ledger nothing is sent.
    pub(crate) fn redis_trouble(error: &Error) -> Self {
        tracing::warn!(%error, "Ledger or suppressions not reached: the mail waits");
        Self::Parked(Duration::from_secs(1))
    }

    /// The word used in metrics.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Sent(_) => "sent",
            Self::Retried(_) => "deferred",
            Self::Ambiguous(_) => "ambiguous",
            Self::Parked(_) => "parked",
            Self::Returned => "returned",
            Self::Failed(_) => "failed",
            Self::Suppressed(_) => "suppressed",
            Self::Expired => "expired",
        }
    }

    pub(crate) fn into_outcome(self) -> Outcome {
        match self {
            Self::Sent(result) => Outcome::Completed(result),
            Self::Retried(reason) | Self::Ambiguous(reason) => Outcome::Failed(Failure::new(reason)),
            Self::Parked(span) => Outcome::Parked(span),
            Self::Returned => Outcome::Returned,
            Self::Failed(reason) | Self::Suppressed(reason) => Outcome::Unrecoverable(Failure::new(reason)),
            Self::Expired => Outcome::Unrecoverable(Failure::new("expired")),
        }
    }
}

/// How long a mail waits whose recipient cannot take it now, after so many such waits.
pub(crate) fn slow_lane(waits: u32) -> Duration {
    Duration::from_mins(match waits {
        0 => 5,
        1 => 15,
        2 => 30,
        _ => 60,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slow_lane_grows_to_an_hour() {
        let waits: Vec<_> = (0..6).map(|waits| slow_lane(waits).as_secs() / 60).collect();
        assert_eq!(waits, [5, 15, 30, 60, 60, 60]);
    }

    #[test]
    fn an_expired_mail_fails_for_that_reason() {
        assert_eq!(End::Expired.into_outcome(), Outcome::Unrecoverable(Failure::new("expired")));
    }
}
