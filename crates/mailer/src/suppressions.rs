//! Suppression list: addresses that are not sent to, since they do not exist, or by an operator's decision.

use std::time::Duration;

use examhall_boot::settings::SuppressionSettings;
use examhall_core::{EmailAddress, EmailJob, MailClass};
use examhall_delivery::{
    Added, Error, NewSuppression, Suppression as Entry, SuppressionCause, SuppressionPolicy,
    Suppressions as SuppressionList,
};
use examhall_queue::Connection;
use lettre::Address;

use crate::{
    clock::now,
    smtp::{RejectedRecipient, Suppression},
};

/// Number of mails with a full mailbox ...
const STRIKES: u32 = 3;
/// ... within this time that suppresses the address.
const WINDOW: Duration = Duration::from_hours(7 * 24);
/// How long after its last refusal an address gets no verification and no reset either, in ms. Its owner, who asks for one,
/// may have repaired it.
const SECURITY_MAILS_AFTER: i64 = 24 * 3600 * 1000;

/// The suppression list, shared by all mailers.
#[derive(Clone, Debug)]
pub(crate) struct Suppressions(SuppressionList);

/// A suppressed recipient of a mail.
pub(crate) struct Suppressed {
    /// The address as the mail contains it.
    pub(crate) address: String,
    pub(crate) reason: String,
}

impl Suppressions {
    pub(crate) fn new(redis: Connection, settings: SuppressionSettings) -> Self {
        let policy = SuppressionPolicy { lifetime: settings.lifetime, per_minute: settings.per_minute };
        Self(SuppressionList::new(redis, EmailJob::SUPPRESSED_KEY, policy))
    }

    pub(crate) fn list(&self) -> &SuppressionList {
        &self.0
    }

    /// Returns the addresses among these to which no mail of this class goes.
    pub(crate) async fn among(&self, addresses: &[Address], class: MailClass) -> Result<Vec<Suppressed>, Error> {
        let names: Vec<_> = addresses.iter().map(|address| canonical(address.as_ref())).collect();
        let found = self.0.find(&names).await?;
        let now = now();
        Ok(addresses
            .iter()
            .zip(&names)
            .filter_map(|(address, name)| {
                let blocked = found.iter().find(|blocked| blocked.address == *name)?;
                stops(blocked, class, now)
                    .then(|| Suppressed { address: address.to_string(), reason: blocked.reason.clone() })
            })
            .collect())
    }

    /// Suppresses the rejected recipients of a mail whose refusals say so.
    pub(crate) async fn record(&self, job_id: &str, provider: &str, rejected: &[RejectedRecipient]) {
        for one in rejected {
            let name = canonical(&one.address);
            let new = NewSuppression {
                address: &name,
                reason: &one.reason,
                cause: SuppressionCause::Refused,
                source: provider,
                job_id,
            };
            let added = match one.suppression {
                Suppression::No => continue,
                Suppression::Now => self.0.add(new).await,
                Suppression::WhenRepeated => match self.0.strike(&name, job_id, WINDOW).await {
                    Ok(strikes) if strikes >= STRIKES => self.0.add(new).await,
                    Ok(_) => continue,
                    Err(error) => Err(error),
                },
            };
            match added {
                Ok(Added::New) => metrics::counter!("mailer_suppressions_total").increment(1),
                Ok(Added::Known) => {}
                Ok(Added::Held { others }) => report_held(provider, 1 + others),
                Err(error) => tracing::warn!(%error, "Suppression could not be noted"),
            }
        }
    }
}

/// Reports suppressions that are held; an error once, when the limit is exceeded.
pub(crate) fn report_held(source: &str, held: u64) {
    metrics::counter!("mailer_suppressions_held_total", "source" => source.to_owned()).increment(held);
    if held > 1 {
        tracing::error!(source, held, "Suppressions are held: too many in a minute from one source");
    }
}

/// Returns whether no mail of this class goes to a suppressed address.
fn stops(entry: &Entry, class: MailClass, now: i64) -> bool {
    let is_security = matches!(class, MailClass::Verification | MailClass::Reset);
    let is_operators = entry.cause == Some(SuppressionCause::Operator);
    !is_security || is_operators || now < entry.seen.saturating_add(SECURITY_MAILS_AFTER)
}

/// Returns the canonical form of an address, which is also the key of its account.
pub(crate) fn canonical(address: &str) -> String {
    EmailAddress::from_stored(address).canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_an_address_have_one_canonical_form() {
        for spelling in [" Zoe@Bücher.example", "zoe@xn--bcher-kva.example", "ZOE@BÜCHER.EXAMPLE "] {
            assert_eq!(canonical(spelling), "zoe@xn--bcher-kva.example");
        }
        assert_eq!(canonical("Zoë@example.com"), "zoë@example.com");
        assert_eq!(canonical("no address"), "no address");
    }

    #[test]
    fn verifications_and_resets_are_stopped_for_a_day() {
        let entry = |cause| Entry {
            address: "ada@x.example".to_owned(),
            reason: "x".to_owned(),
            cause,
            source: None,
            job_id: None,
            since: 0,
            seen: 1_000,
            until: None,
            is_held: false,
        };
        let day = 1_000 + SECURITY_MAILS_AFTER;
        for cause in [SuppressionCause::Refused, SuppressionCause::Bounced, SuppressionCause::Complained] {
            for class in [MailClass::Verification, MailClass::Reset] {
                assert!(stops(&entry(Some(cause)), class, day - 1) && !stops(&entry(Some(cause)), class, day));
            }
            assert!(stops(&entry(Some(cause)), MailClass::Result, day));
        }
        assert!(stops(&entry(Some(SuppressionCause::Operator)), MailClass::Reset, day));
        assert!(!stops(&entry(None), MailClass::Reset, day));
    }
}
