//! An address that mail can be sent to.

mod account_name;
mod local_part;

use std::str::FromStr;

use idna::{
    AsciiDenyList,
    uts46::{DnsLength, Hyphens, Uts46},
};
use serde::{Deserialize, Serialize};
use unicode_normalization::UnicodeNormalization;

pub use account_name::AccountName;

/// One mailbox, `local@domain` (RFC 5321, section 4.1.2; RFC 6531), without a display name, a comment or a line break.
///
/// [`parse`](Self::parse) normalises: an address has one form however it is typed, and parsing that form changes
/// nothing. What comes from the database is trusted ([`from_stored`](Self::from_stored)).
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// Why a text is not one mailbox that mail can be sent to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadEmailAddress {
    /// It does not have the form `local@domain`.
    #[error("not an e-mail address like ada@example.com")]
    Form,
    /// The local part needs quotes, which mail servers and clients do not carry reliably.
    #[error("the part before the @ must not need quotes")]
    Quoted,
    /// The local part holds an invisible character, a symbol, or letters that pass for those of another script.
    #[error("the part before the @ holds characters that are invisible or pass for others")]
    LookAlike,
    /// The domain is no host name (RFC 1123, RFC 5891).
    #[error("the part after the @ is not a domain name like example.com")]
    Domain,
    /// It is longer than SMTP allows.
    #[error("too long: at most 64 bytes before the @ and 254 in all")]
    TooLong,
}

impl EmailAddress {
    /// Longest address that fits into a path (RFC 5321, section 4.5.3.1.3), in bytes.
    pub const MAX_LEN: usize = 254;
    /// Longest local part (RFC 5321, section 4.5.3.1.1), in bytes.
    pub const MAX_LOCAL_LEN: usize = 64;

    /// Parses and normalises one address: white space around it is dropped, the local part is brought into Unicode's form
    /// NFKC and loses quotes that it does not need, the domain becomes ASCII (IDNA, UTS 46).
    ///
    /// ```
    /// use examhall_core::EmailAddress;
    ///
    /// assert_eq!(EmailAddress::parse(" Ada@Example.COM ")?.as_str(), "Ada@example.com");
    /// assert_eq!(EmailAddress::parse("ada@exämple.com")?.as_str(), "ada@xn--exmple-cua.com");
    /// assert_eq!(EmailAddress::parse("\"ada\"@example.com")?.as_str(), "ada@example.com");
    /// assert!(EmailAddress::parse("a@b\r\nBcc: x@y").is_err());
    /// # Ok::<(), examhall_core::BadEmailAddress>(())
    /// ```
    ///
    /// # Errors
    /// Returns [`BadEmailAddress`] if the text is not one mailbox, or looks like another one.
    pub fn parse(raw: &str) -> Result<Self, BadEmailAddress> {
        // Nothing this long becomes an address; it is not worth normalising.
        if raw.trim().chars().nth(Self::MAX_LEN).is_some() {
            return Err(BadEmailAddress::TooLong);
        }
        let text: String = raw.trim().nfkc().collect();
        let (local, domain) = text.trim().rsplit_once('@').ok_or(BadEmailAddress::Form)?;
        let local = local_part::parse(local)?;
        let domain = parse_domain(domain)?;
        if local.len() > Self::MAX_LOCAL_LEN || local.len() + 1 + domain.len() > Self::MAX_LEN {
            return Err(BadEmailAddress::TooLong);
        }
        Ok(Self(format!("{local}@{domain}")))
    }

    /// An address as the database holds it: it was checked when it came in, by the rules of its time.
    pub fn from_stored(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The address in its one form, with the local part's case as it was given.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the part before the `@`.
    pub fn local_part(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(local, _)| local)
    }

    /// Returns the part after the `@`; ASCII if the address was parsed.
    pub fn domain(&self) -> &str {
        self.0.rsplit_once('@').map_or("", |(_, domain)| domain)
    }

    /// The key of its account: the same for all spellings of one mailbox, whatever their case.
    pub fn canonical(&self) -> String {
        match Self::parse(&self.0) {
            Ok(address) => format!("{}@{}", local_part::folded(address.local_part()), address.domain()),
            Err(_) => former_key(&self.0),
        }
    }
}

/// The account key as it was made before addresses were normalised.
fn former_key(text: &str) -> String {
    text.trim().to_lowercase()
}

fn parse_domain(domain: &str) -> Result<String, BadEmailAddress> {
    let ascii =
        Uts46::new().to_ascii(domain.as_bytes(), AsciiDenyList::STD3, Hyphens::CheckFirstLast, DnsLength::Verify);
    let ascii = ascii.map_err(|_| BadEmailAddress::Domain)?;
    // No top-level domain is a number (RFC 3696, section 2): it is part of an IP address.
    let is_number = ascii.rsplit('.').next().is_none_or(|label| label.bytes().all(|byte| byte.is_ascii_digit()));
    if is_number { Err(BadEmailAddress::Domain) } else { Ok(ascii.into_owned()) }
}

impl FromStr for EmailAddress {
    type Err = BadEmailAddress;

    fn from_str(raw: &str) -> Result<Self, BadEmailAddress> {
        Self::parse(raw)
    }
}

impl TryFrom<String> for EmailAddress {
    type Error = BadEmailAddress;

    fn try_from(raw: String) -> Result<Self, BadEmailAddress> {
        Self::parse(&raw)
    }
}

impl From<EmailAddress> for String {
    fn from(address: EmailAddress) -> Self {
        address.0
    }
}

/// Shows the domain only: addresses do not belong in logs.
impl std::fmt::Debug for EmailAddress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "EmailAddress(…@{})", self.domain())
    }
}

#[cfg(test)]
mod tests;
