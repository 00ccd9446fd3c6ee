//! Addresses that are not sent to: their servers said that they do not exist, or an operator said so.

use std::time::Duration;

use examhall_queue::{Blocklist, Connection, Error};
use lettre::Address;

use crate::{smtp::Refused, verdict::Suppress};

/// A mailbox that is full so often ...
const STRIKES: u32 = 3;
/// ... within this time is not sent to any more.
const WINDOW: Duration = Duration::from_hours(7 * 24);

/// The list, shared by all mailers.
#[derive(Clone, Debug)]
pub(crate) struct Suppressions(Blocklist);

/// An address of a mail that is not to be sent to.
pub(crate) struct Suppressed {
    /// As the mail has it.
    pub(crate) address: String,
    pub(crate) reason: String,
}

impl Suppressions {
    pub(crate) fn new(redis: Connection) -> Self {
        Self(Blocklist::new(redis, "mail:suppressed"))
    }

    pub(crate) fn list(&self) -> &Blocklist {
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
                let blocked = found.iter().find(|blocked| blocked.name == *name)?;
                Some(Suppressed { address: address.to_string(), reason: blocked.reason.clone() })
            })
            .collect())
    }

    /// Takes note of what refusals say of addresses.
    pub(crate) async fn note(&self, refused: &[Refused]) {
        for one in refused {
            let name = canonical(&one.address);
            let noted = match one.suppress {
                Suppress::No => continue,
                Suppress::Now => self.0.add(&name, &one.reason).await,
                Suppress::WhenRepeated => match self.0.strike(&name, WINDOW).await {
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

/// One form for all spellings of an address: how people write a mailbox differs in case only.
pub(crate) fn canonical(address: &str) -> String {
    address.trim().to_lowercase()
}
