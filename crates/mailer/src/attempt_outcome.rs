//! How an attempt to send a mail ended, and what that means for its job.

use std::time::Duration;

use examhall_delivery::Error;
use examhall_queue::{Failure, Outcome};
use serde_json::Value;

/// Outcome of one attempt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum AttemptOutcome {
    /// A server accepted the mail, now or before; the value is the job's return value.
    Sent(Value),
    /// Temporarily refused: spends an attempt.
    Deferred(String),
    /// The mail may have been accepted: spends an attempt.
    Ambiguous(String),
    /// To be tried again after this time without spending an attempt.
    Snoozed(Duration),
    /// Redis does not answer, or takes no writes. Without the ledger nothing is sent: the mail waits a second.
    NoRedis(String),
    /// Given back to the queue unchanged.
    Released,
    /// Permanently refused.
    Failed(String),
    /// All recipients are suppressed.
    Suppressed(String),
    /// `MAIL_ALLOW` contains none of its recipients.
    Withheld,
    /// The mail has expired.
    Expired,
}

impl From<Error> for AttemptOutcome {
    fn from(error: Error) -> Self {
        Self::NoRedis(error.to_string())
    }
}

impl AttemptOutcome {
    /// Name in metrics.
    pub(crate) fn as_str(&self) -> &'static str {
        match self {
            Self::Sent(_) => "sent",
            Self::Deferred(_) => "deferred",
            Self::Ambiguous(_) => "ambiguous",
            Self::Snoozed(_) | Self::NoRedis(_) => "parked",
            Self::Released => "returned",
            Self::Failed(_) => "failed",
            Self::Suppressed(_) => "suppressed",
            Self::Withheld => "withheld",
            Self::Expired => "expired",
        }
    }

    /// The outcome of the job.
    pub(crate) fn into_job_outcome(self) -> Outcome {
        match self {
            Self::Sent(result) => Outcome::Completed(result),
            Self::Deferred(reason) | Self::Ambiguous(reason) => Outcome::Failed(Failure::new(reason)),
            Self::Snoozed(span) => Outcome::Snoozed(span),
            Self::NoRedis(_) => Outcome::Snoozed(Duration::from_secs(1)),
            Self::Released => Outcome::Released,
            Self::Failed(reason) | Self::Suppressed(reason) => Outcome::Unrecoverable(Failure::new(reason)),
            Self::Withheld => {
                Outcome::Unrecoverable(Failure::new("withheld: MAIL_ALLOW contains none of its recipients"))
            }
            Self::Expired => Outcome::Unrecoverable(Failure::new("expired")),
        }
    }
}

/// Backoff of a greylisted mail, after this many deferrals.
pub(crate) fn greylist_backoff(deferrals: u32) -> Duration {
    Duration::from_mins(match deferrals {
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
    fn greylist_backoff_grows_to_an_hour() {
        let waits: Vec<_> = (0..6).map(|deferrals| greylist_backoff(deferrals).as_secs() / 60).collect();
        assert_eq!(waits, [5, 15, 30, 60, 60, 60]);
    }

    #[test]
    fn expired_mail_fails_with_that_reason() {
        assert_eq!(AttemptOutcome::Expired.into_job_outcome(), Outcome::Unrecoverable(Failure::new("expired")));
    }
}
