//! Addresses with and without a name, as jobs give them.

use examhall_core::{EmailAddress, Recipients};
use lettre::{
    Address,
    message::{
        Mailbox,
        header::{HeaderName, HeaderValue, Headers, To},
    },
};

use super::{NotAMail, header_text::one_line};

pub(super) fn mailboxes(field: &'static str, recipients: &Recipients) -> Result<Vec<Mailbox>, NotAMail> {
    recipients.0.iter().map(|one| mailbox(field, one)).collect()
}

/// A header that names several, one on each line: fifty on one line may be longer than a line can be.
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

/// What the API takes for an address is one here, in the same form. Beyond that, whatever lettre understands.
pub(super) fn mailbox(field: &'static str, text: &str) -> Result<Mailbox, NotAMail> {
    let text = one_line(field, text)?;
    if let Ok(address) = EmailAddress::parse(text) {
        return Ok(Mailbox::new(None, to_lettre(&address)));
    }
    if let Some(mailbox) = named(text) {
        return Ok(mailbox);
    }
    let wrong = |error: &dyn std::fmt::Display| NotAMail::new(field, format!("not a mailbox: {error}"));
    let mut mailbox: Mailbox = text.parse().map_err(|error| wrong(&error))?;
    let domain = mailbox.email.domain();
    if !domain.is_ascii() {
        // As DNS knows it (RFC 5891), so that every server can take it.
        let ascii = url::Host::parse(domain).map_err(|error| wrong(&error))?;
        mailbox.email = Address::new(mailbox.email.user(), ascii.to_string()).map_err(|error| wrong(&error))?;
    }
    Ok(mailbox)
}

/// `Name <local@domain>`
fn named(text: &str) -> Option<Mailbox> {
    let (name, address) = text.trim_end().strip_suffix('>')?.rsplit_once('<')?;
    let address = EmailAddress::parse(address).ok()?;
    let mailbox: Mailbox = format!("{name}<name@only.example>").parse().ok()?;
    Some(Mailbox::new(mailbox.name, to_lettre(&address)))
}

/// lettre checks letters beyond ASCII by their numbers, and refuses signs of Hindi, Thai and others.
fn to_lettre(address: &EmailAddress) -> Address {
    Address::new_dangerous(address.local_part(), address.domain())
}
