//! Addresses that are not sent to: their servers said that they do not exist, or an operator said so.

use std::time::Duration;

use examhall_core::EmailAddress;
use examhall_delivery::{Error, Suppressions as SuppressionList};
use examhall_queue::Connection;
use lettre::Address;

use crate::{smtp::Refused, verdict::Suppress};

/// A mailbox that is full for so many mails ...
const STRIKES: u32 = 3;
/// ... within this time is not sent to any more.
const WINDOW: Duration = Duration::from_hours(7 * 24);

/// The list, shared by all mailers.
#[derive(Clone, Debug)]
pub(crate) struct Suppressions(SuppressionList);

/// An address of a mail that is not to be sent to.
pub(crate) struct Suppressed {
    /// As the mail has it.
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

    /// Which of these addresses are suppressed.
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

    /// Takes note of what refusals of a mail say of addresses.
    pub(crate) async fn note(&self, job_id: &str, refused: &[Refused]) {
        for one in refused {
            let name = canonical(&one.address);
            let noted = match one.suppress {
                Suppress::No => continue,
                Suppress::Now => self.0.add(&name, &one.reason).await,
                Suppress::WhenRepeated => match self.0.strike(&name, job_id, WINDOW).await {
                    Ok(strikes) if strikes >= STRIKES => self.0.add(&name, &one.reason).await,
                    Ok(_) => continue,
                    Err(error) => Err(error),
                },
            };
            match noted {
                Ok(true) => metrics::counter!("mailer_suppressions_total").increment(1),
                Ok(false) => {}
                Err(error) => tracing::warn!(%error, "Suppression could not be noted"),
            }
        }
    }
}

/// One form for all spellings of an address: the key of an account that has it.
pub(crate) fn canonical(address: &str) -> String {
    EmailAddress::from_stored(address).canonical()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_one_form_however_it_is_spelt() {
        for spelt in [" Zoe@Bücher.example", "zoe@xn--bcher-kva.example", "ZOE@BÜCHER.EXAMPLE "] {
            assert_eq!(canonical(spelt), "zoe@xn--bcher-kva.example");
        }
        assert_eq!(canonical("Zoë@example.com"), "zoë@example.com");
        assert_eq!(canonical("no address"), "no address");
    }
}
