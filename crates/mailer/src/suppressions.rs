//! Suppression list: addresses that are not sent to, since they do not exist, or by an operator's decision.

use std::time::Duration;

use examhall_core::EmailAddress;
use examhall_delivery::{Error, Suppressions as SuppressionList};
use examhall_queue::Connection;
use lettre::Address;

use crate::smtp::{RejectedRecipient, Suppression};

/// Number of mails with a full mailbox ...
const STRIKES: u32 = 3;
/// ... within this time that suppresses the address.
const WINDOW: Duration = Duration::from_hours(7 * 24);

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
    pub(crate) fn new(redis: Connection) -> Self {
        Self(SuppressionList::new(redis, "mail:suppressed"))
    }

    pub(crate) fn list(&self) -> &SuppressionList {
        &self.0
    }

    /// Returns the addresses among these that are suppressed.
    pub(crate) async fn among(&self, addresses: &[Address]) -> Result<Vec<Suppressed>, Error> {
        let names: Vec<_> = addresses.iter().map(|address| canonical(address.as_ref())).collect();
        let found = self.0.find(&names).await?;
        Ok(addresses
            .iter()
            .zip(&names)
            .filter_map(|(address, name)| {
                let blocked = found.iter().find(|blocked| blocked.address == *name)?;
                Some(Suppressed { address: address.to_string(), reason: blocked.reason.clone() })
            })
            .collect())
    }

    /// Suppresses the rejected recipients of a mail whose refusals say so.
    pub(crate) async fn record(&self, job_id: &str, rejected: &[RejectedRecipient]) {
        for one in rejected {
            let name = canonical(&one.address);
            let added = match one.suppression {
                Suppression::No => continue,
                Suppression::Now => self.0.add(&name, &one.reason).await,
                Suppression::WhenRepeated => match self.0.strike(&name, job_id, WINDOW).await {
                    Ok(strikes) if strikes >= STRIKES => self.0.add(&name, &one.reason).await,
                    Ok(_) => continue,
                    Err(error) => Err(error),
                },
            };
            match added {
                Ok(true) => metrics::counter!("mailer_suppressions_total").increment(1),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "Suppression could not be noted"),
            }
        }
    }
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
}
