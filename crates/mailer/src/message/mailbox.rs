//! Mailboxes: addresses of jobs, with or without a display name.

use std::collections::HashSet;

use examhall_core::{EmailAddress, EmailJob, Recipients, is_header_text};
use lettre::{
    Address,
    message::{
        Mailbox, Mailboxes,
        header::{HeaderName, HeaderValue, Headers, To},
    },
};

use super::{address_list, header_text::one_line, invalid_mail::InvalidMail, staging::Staging};

/// The address fields of a mail.
#[derive(Clone)]
pub(crate) struct Addresses {
    /// The authors, at least one; the first is the sender of the envelope.
    pub(super) from: Vec<Mailbox>,
    pub(super) sender: Option<Mailbox>,
    pub(super) reply_to: Vec<Mailbox>,
    pub(super) to: Vec<Mailbox>,
    pub(super) cc: Vec<Mailbox>,
    /// Header fields with those who were meant, if the mail is redirected.
    pub(super) originals: Vec<(&'static str, Vec<Mailbox>)>,
    /// The addresses that get the mail, each once however often and in whatever case the fields name it.
    pub(crate) recipients: Vec<Address>,
    /// The addresses that do not get it, since `MAIL_ALLOW` does not contain them.
    pub(crate) withheld: Vec<Address>,
}

impl Addresses {
    /// Parses the address fields of a job, whose author is `from` unless it names one. The mail goes where `staging` allows.
    pub(crate) fn of(job: &EmailJob, from: &Mailbox, staging: &Staging) -> Result<Self, InvalidMail> {
        let mut authors = mailboxes("from", &job.from)?;
        if authors.is_empty() {
            authors.push(from.clone());
        }
        let (sender, reply_to) =
            (mailboxes("sender", &job.sender)?.into_iter().next(), mailboxes("replyTo", &job.reply_to)?);
        let (mut to, mut cc) = (mailboxes("to", &job.to)?, mailboxes("cc", &job.cc)?);
        let mut bcc = mailboxes("bcc", &job.bcc)?;
        check_count(to.len() + cc.len() + bcc.len())?;
        let mut originals = Vec::new();
        if let Some(target) = staging.redirect_to() {
            let meant =
                [std::mem::replace(&mut to, vec![target.clone()]), std::mem::take(&mut cc), std::mem::take(&mut bcc)];
            originals = ["X-Original-To", "X-Original-Cc", "X-Original-Bcc"].into_iter().zip(meant).collect();
            originals.retain(|(_, mailboxes)| !mailboxes.is_empty());
        }
        let (recipients, withheld) = distinct([&to, &cc, &bcc]).partition(|address| staging.allows(address));
        Ok(Self { from: authors, sender, reply_to, to, cc, originals, recipients, withheld })
    }
}

fn check_count(count: usize) -> Result<(), InvalidMail> {
    let most = EmailJob::MAX_RECIPIENTS;
    match count {
        0 => Err(InvalidMail::new("to", "`to` names nobody")),
        _ if count > most => {
            let problem = format!("{count} recipients over `to`, `cc` and `bcc`; at most {most} are allowed");
            Err(InvalidMail::new("to", problem))
        }
        _ => Ok(()),
    }
}

/// The addresses of all fields, each once.
fn distinct(fields: [&Vec<Mailbox>; 3]) -> impl Iterator<Item = Address> {
    let mut known = HashSet::new();
    let all = fields.into_iter().flatten().map(|mailbox| mailbox.email.clone());
    all.filter(move |address| known.insert(EmailAddress::from_stored(address.to_string()).canonical()))
}

fn mailboxes(field: &'static str, recipients: &Recipients) -> Result<Vec<Mailbox>, InvalidMail> {
    let lists = recipients.0.iter().map(|one| mailbox_list(field, one)).collect::<Result<Vec<_>, _>>()?;
    Ok(lists.concat())
}

/// Returns an address header with one mailbox per line, since fifty may exceed the longest line.
pub(super) fn address_header(name: &'static str, mailboxes: &[Mailbox]) -> HeaderValue {
    let encoded = |mailbox: &Mailbox| {
        let mut headers = Headers::new();
        headers.set(To::from(Mailboxes::from(mailbox.clone())));
        headers.to_string().trim_start_matches("To: ").trim_end().to_owned()
    };
    let encoded: Vec<_> = mailboxes.iter().map(encoded).collect();
    let shown = mailboxes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), shown, encoded.join(",\r\n "))
}

/// Parses a setting or field that names one mailbox.
///
/// # Errors
/// Returns an error that names the field.
pub(crate) fn mailbox(field: &'static str, text: &str) -> Result<Mailbox, InvalidMail> {
    match <[Mailbox; 1]>::try_from(mailbox_list(field, text)?) {
        Ok([mailbox]) => Ok(mailbox),
        Err(_) => Err(InvalidMail::new(field, "not a mailbox: it must name exactly one")),
    }
}

fn mailbox_list(field: &'static str, text: &str) -> Result<Vec<Mailbox>, InvalidMail> {
    if !is_header_text(text) {
        return Err(InvalidMail::new(field, "contains a line break or control character"));
    }
    if let Ok(address) = EmailAddress::parse(text) {
        return Ok(vec![Mailbox::new(None, to_lettre(&address))]);
    }
    let entries = address_list::parse(text).map_err(|problem| InvalidMail::new(field, problem))?;
    let mailbox = |entry: address_list::Entry| {
        if let Some(name) = &entry.name {
            one_line(field, name)?;
        }
        Ok(Mailbox::new(entry.name, address(field, &entry.address)?))
    };
    entries.into_iter().map(mailbox).collect()
}

/// Parses every address that the API accepts, in the same form, and what else lettre accepts.
fn address(field: &'static str, text: &str) -> Result<Address, InvalidMail> {
    if let Ok(address) = EmailAddress::parse(text) {
        return Ok(to_lettre(&address));
    }
    let wrong = |error: &dyn std::fmt::Display| InvalidMail::new(field, format!("not a mailbox: {error}"));
    let address: Address = text.parse().map_err(|error| wrong(&error))?;
    if address.domain().is_ascii() {
        return Ok(address);
    }
    // In ASCII (RFC 5891), so that every server can take it.
    let ascii = url::Host::parse(address.domain()).map_err(|error| wrong(&error))?;
    Address::new(address.user(), ascii.to_string()).map_err(|error| wrong(&error))
}

/// Skips lettre's validation, which refuses characters of Hindi, Thai and other scripts.
fn to_lettre(address: &EmailAddress) -> Address {
    Address::new_dangerous(address.local_part(), address.domain())
}
