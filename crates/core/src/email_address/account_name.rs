//! Account names as typed at login.

use super::{BadEmailAddress, EmailAddress, former_key};

/// The address that names an account when its owner logs in.
///
/// It is read as [`EmailAddress::parse`] reads it; and it may be the address of an account that was made before addresses
/// were normalised, by rules that have become stricter.
#[derive(Clone, PartialEq, Eq)]
pub struct AccountName {
    address: EmailAddress,
    keys: [String; 2],
}

impl AccountName {
    /// Parses the address of an account.
    ///
    /// # Errors
    /// Returns [`BadEmailAddress`] if no account has ever had such an address.
    pub fn parse(raw: &str) -> Result<Self, BadEmailAddress> {
        let former = former_key(raw);
        let address = match EmailAddress::parse(raw) {
            Ok(address) => address,
            Err(_) if could_be_former(&former) => EmailAddress::from_stored(raw.trim()),
            Err(error) => return Err(error),
        };
        let canonical = address.canonical();
        Ok(Self { address, keys: [former, canonical] })
    }

    /// The address; normalised, where it can be.
    pub fn address(&self) -> &EmailAddress {
        &self.address
    }

    /// The keys under which its account may be stored, those of former rules first.
    pub fn keys(&self) -> &[String] {
        &self.keys
    }
}

impl From<&EmailAddress> for AccountName {
    fn from(address: &EmailAddress) -> Self {
        Self { address: address.clone(), keys: [address.canonical(), address.canonical()] }
    }
}

impl From<&AccountName> for AccountName {
    fn from(name: &AccountName) -> Self {
        name.clone()
    }
}

/// Whether the rules before this one accepted such a text.
fn could_be_former(text: &str) -> bool {
    let has_parts = text.rsplit_once('@').is_some_and(|(local, domain)| {
        let is_quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
        let is_plain =
            !local.is_empty() && !local.contains(|c: char| c.is_whitespace() || "\"(),:;<>@[\\]".contains(c));
        (is_quoted || is_plain)
            && domain.split('.').all(|label| !label.is_empty() && !label.contains(char::is_whitespace))
            && !domain.contains(['[', ']', ',', '<', '>'])
    });
    // Lower case may be longer than what it was made of.
    has_parts && text.len() <= 2 * EmailAddress::MAX_LEN && !text.contains(char::is_control)
}

/// Shows the domain only.
impl std::fmt::Debug for AccountName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AccountName").field(&self.address).finish()
    }
}
