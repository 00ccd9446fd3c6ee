//! An address that mail can be sent to.

use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// One mailbox, `local@domain` (RFC 5321, section 4.1.2), without a display name, a comment or a line break.
///
/// [`parse`](Self::parse) is the only way in, so a value of this type can be put into a header as it stands.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct EmailAddress(String);

/// The text is not one plain mailbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an e-mail address like ada@example.com")]
pub struct BadEmailAddress;

impl EmailAddress {
    /// Longest address that fits into a path (RFC 5321, section 4.5.3.1.3), in bytes.
    pub const MAX_LEN: usize = 254;

    /// Reads one address. White space around it is dropped; the domain is put in lower case, the local part is kept.
    ///
    /// ```
    /// use examhall_core::EmailAddress;
    ///
    /// assert_eq!(EmailAddress::parse(" Ada@Example.COM ")?.as_str(), "Ada@example.com");
    /// assert!(EmailAddress::parse("a@b\r\nBcc: x@y").is_err());
    /// # Ok::<(), examhall_core::BadEmailAddress>(())
    /// ```
    ///
    /// # Errors
    /// Where the text is not one mailbox, holds a control character or is longer than [`MAX_LEN`](Self::MAX_LEN).
    pub fn parse(raw: &str) -> Result<Self, BadEmailAddress> {
        let trimmed = raw.trim();
        let options = email_address::Options::default().without_display_text().without_domain_literal();
        if trimmed.len() > Self::MAX_LEN || trimmed.chars().any(char::is_control) {
            return Err(BadEmailAddress);
        }
        let parsed = email_address::EmailAddress::parse_with_options(trimmed, options).map_err(|_| BadEmailAddress)?;
        Ok(Self(format!("{}@{}", parsed.local_part(), parsed.domain().to_lowercase())))
    }

    /// The address as it was given, but for its domain's case.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The form under which two spellings of one address are the same account.
    pub fn canonical(&self) -> String {
        self.0.to_lowercase()
    }
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
        let domain = self.0.rsplit_once('@').map_or("", |(_, domain)| domain);
        write!(f, "EmailAddress(…@{domain})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn plain_mailboxes_are_accepted() {
        for good in ["a@b.example", "first.last+tag@sub.example.org", "ü@exämple.example", "root@localhost"] {
            assert!(EmailAddress::parse(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn what_is_not_one_mailbox_is_refused() {
        let long = format!("{}@example.com", "a".repeat(250));
        for bad in [
            "",
            "a",
            "@b",
            "a@",
            "a b@c.example",
            "A <a@b.example>",
            "a@b.example, c@d.example",
            "a@[1.2.3.4]",
            "a@b\r\nBcc: c@d",
            "a\0@b.example",
            &long,
        ] {
            assert!(EmailAddress::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn debug_does_not_show_who_it_is() {
        let address = EmailAddress::parse("ada@example.com").expect("good address");
        assert_eq!(format!("{address:?}"), "EmailAddress(…@example.com)");
    }

    proptest! {
        #[test]
        fn nothing_accepted_can_break_a_header_line(raw in ".*") {
            if let Ok(address) = EmailAddress::parse(&raw) {
                prop_assert!(!address.as_str().contains(['\r', '\n', '\0', '<', '>']) || address.as_str().starts_with('"'));
                prop_assert!(!address.as_str().chars().any(char::is_control));
                let again = EmailAddress::parse(address.as_str());
                prop_assert_eq!(again.as_ref(), Ok(&address));
            }
        }
    }
}
