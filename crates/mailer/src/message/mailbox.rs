//! Mailboxes: addresses of jobs, with or without a display name.

use examhall_core::{EmailAddress, Recipients};
use lettre::{
    Address,
    message::{
        Mailbox,
        header::{HeaderName, HeaderValue, Headers, To},
    },
};

use super::{header_text::one_line, invalid_mail::InvalidMail};

pub(super) fn mailboxes(field: &'static str, recipients: &Recipients) -> Result<Vec<Mailbox>, InvalidMail> {
    recipients.0.iter().map(|one| mailbox(field, one)).collect()
}

/// Returns an address header with one mailbox per line, since fifty may exceed the longest line.
pub(super) fn address_list(name: &'static str, mailboxes: &[Mailbox]) -> HeaderValue {
    let encoded = |mailbox: &Mailbox| {
        let mut headers = Headers::new();
        headers.set(To::from(lettre::message::Mailboxes::from(mailbox.clone())));
        headers.to_string().trim_start_matches("To: ").trim_end().to_owned()
    };
    let encoded: Vec<_> = mailboxes.iter().map(encoded).collect();
    let shown = mailboxes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), shown, encoded.join(",\r\n "))
}

/// Parses every address that the API accepts, in the same form, and what else lettre accepts.
pub(super) fn mailbox(field: &'static str, text: &str) -> Result<Mailbox, InvalidMail> {
    let text = one_line(field, text)?;
    if let Ok(address) = EmailAddress::parse(text) {
        return Ok(Mailbox::new(None, to_lettre(&address)));
    }
    if let Some(mailbox) = named(text) {
        return Ok(mailbox);
    }
    let wrong = |error: &dyn std::fmt::Display| InvalidMail::new(field, format!("not a mailbox: {error}"));
    let mut mailbox: Mailbox = text.parse().map_err(|error| wrong(&error))?;
    let domain = mailbox.email.domain();
    if !domain.is_ascii() {
        // In ASCII (RFC 5891), so that every server can take it.
        let ascii = url::Host::parse(domain).map_err(|error| wrong(&error))?;
        mailbox.email = Address::new(mailbox.email.user(), ascii.to_string()).map_err(|error| wrong(&error))?;
    }
    Ok(mailbox)
}

/// Parses `Name <local@domain>`.
fn named(text: &str) -> Option<Mailbox> {
    let (name, address) = text.trim_end().strip_suffix('>')?.rsplit_once('<')?;
    let address = EmailAddress::parse(address).ok()?;
    let mailbox: Mailbox = format!("{name}<name@only.example>").parse().ok()?;
    Some(Mailbox::new(mailbox.name, to_lettre(&address)))
}

/// Skips lettre's validation, which refuses characters of Hindi, Thai and other scripts.
fn to_lettre(address: &EmailAddress) -> Address {
    Address::new_dangerous(address.local_part(), address.domain())
}
