//! Composes the mail of a job: the same bytes at each attempt.

mod address_list;
mod body;
mod header_text;
mod identity;
mod invalid_mail;
mod mailbox;
mod media_type;
mod staging;

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use examhall_core::{EmailJob, Timestamp};
use lettre::{
    Address,
    message::{
        Mailbox,
        header::{Date, Headers, MIME_VERSION_1_0, MessageId},
    },
};

use self::{
    body::body,
    header_text::{custom_header, is_message_id, subject},
    mailbox::address_header,
};
pub(crate) use self::{
    identity::Identity,
    invalid_mail::InvalidMail,
    mailbox::{Addresses, mailbox},
    staging::Staging,
};
use crate::{dkim::Signer, return_path::ReturnPath};

/// Sender of all mails whose job names none, and the DKIM keys.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    /// `MAIL_FROM`.
    pub(crate) from: Mailbox,
    /// Signs mails, unless the relay does.
    pub(crate) dkim: Option<Arc<Signer>>,
    /// Where mails may go.
    pub(crate) staging: Staging,
    /// Sender of the envelopes, if it is not the author.
    pub(crate) return_path: Option<ReturnPath>,
    /// Whether Postmark is to know the mail's id: its bounces name that, and no `Message-ID`.
    pub(crate) is_for_postmark: bool,
}

impl Author {
    /// Sender of an envelope without a mail, which a server is probed with.
    pub(crate) fn probe_sender(&self) -> Address {
        self.return_path.as_ref().map_or_else(|| self.from.email.clone(), |path| path.address("probe"))
    }
}

/// Origin of a mail's sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SenderOrigin {
    /// `MAIL_FROM`.
    Settings,
    /// The job names another sender.
    Job,
}

/// A mail ready to be sent.
pub(crate) struct PreparedMail {
    pub(crate) from: Address,
    pub(crate) sender: SenderOrigin,
    pub(crate) to: Vec<Address>,
    /// Recipients that were removed because they are suppressed.
    pub(crate) suppressed: Vec<String>,
    /// Recipients that were removed because `MAIL_ALLOW` does not contain them.
    pub(crate) withheld: Vec<String>,
    pub(crate) message_id: String,
    /// What names the mail in `from`, if something does.
    pub(crate) token: Option<String>,
    /// When the job was added, unless its id alone names the mail.
    pub(crate) job_timestamp: Option<i64>,
    /// Whether it gets the next free place of a rate instead of a turn behind others that wait.
    pub(crate) is_urgent: bool,
    /// `Date`, in ms since 1970.
    pub(crate) date: i64,
    pub(crate) bytes: Vec<u8>,
}

impl PreparedMail {
    /// Domain of the recipients, if all have the same.
    pub(crate) fn domain(&self) -> Option<String> {
        let mut domains = self.to.iter().map(|to| to.domain().to_ascii_lowercase());
        let first = domains.next()?;
        domains.all(|domain| domain == first).then_some(first)
    }
}

/// Composes the mail of a job with these `addresses`. `date` is the time of its first attempt, in ms since 1970.
pub(crate) fn prepare(
    job: &EmailJob,
    identity: &Identity<'_>,
    addresses: &Addresses,
    date: i64,
    author: &Author,
) -> Result<PreparedMail, InvalidMail> {
    let from = addresses.from.first().unwrap_or(&author.from);
    moment("timestamp", identity.timestamp)?;
    let date = job.date.map_or(date, Timestamp::as_millis);
    let message_id = match job.message_id.as_deref().map(str::trim) {
        Some(given) if is_message_id(given) => format!("<{}>", given.trim_matches(['<', '>'])),
        Some(given) => return Err(InvalidMail::new("messageId", format!("{given:?} is not a message id"))),
        None => identity.message_id(from.email.domain()),
    };
    let mut headers = Headers::new();
    headers.insert_raw(address_header("From", &addresses.from));
    if let Some(sender) = &addresses.sender {
        headers.insert_raw(address_header("Sender", std::slice::from_ref(sender)));
    }
    if !job.subject.is_empty() {
        headers.insert_raw(subject(&job.subject)?);
    }
    headers.set(Date::from(moment("date", date)?));
    headers.set(MessageId::from(message_id.clone()));
    for (name, mailboxes) in [("To", &addresses.to), ("Cc", &addresses.cc), ("Reply-To", &addresses.reply_to)] {
        if !mailboxes.is_empty() {
            headers.insert_raw(address_header(name, mailboxes));
        }
    }
    for (name, mailboxes) in &addresses.originals {
        headers.insert_raw(address_header(name, mailboxes));
    }
    let mut head = headers.to_string();
    if author.is_for_postmark {
        head.extend(["X-PM-Metadata-message-id: ", message_id.trim_matches(['<', '>']), "\r\n"]);
    }
    // Not in `Headers`, which has each name once.
    for (name, value) in &job.headers.0 {
        let mut headers = Headers::new();
        headers.insert_raw(custom_header("headers", name, value)?);
        head.push_str(&headers.to_string());
    }
    let mut headers = Headers::new();
    headers.set(MIME_VERSION_1_0);
    head.push_str(&headers.to_string());
    let mut bytes = head.into_bytes();
    bytes.extend(body(job, identity)?);
    check_line_ends(&bytes)?;
    if let Some(signer) = &author.dkim {
        bytes.splice(..0, signer.sign(&bytes).into_bytes());
    }
    let token = author.return_path.as_ref().and_then(|path| path.token(&message_id));
    let envelope = author.return_path.as_ref().map(|path| path.address(token.as_deref().unwrap_or_default()));
    Ok(PreparedMail {
        from: envelope.unwrap_or_else(|| from.email.clone()),
        sender: if from.email == author.from.email { SenderOrigin::Settings } else { SenderOrigin::Job },
        to: addresses.recipients.clone(),
        suppressed: Vec::new(),
        withheld: addresses.withheld.iter().map(ToString::to_string).collect(),
        message_id,
        token,
        job_timestamp: identity.timestamp_in_ledger(),
        is_urgent: true,
        date,
        bytes,
    })
}

/// Returns a time; a year has four digits (RFC 5322, section 3.3).
fn moment(field: &'static str, millis: i64) -> Result<SystemTime, InvalidMail> {
    let valid = u64::try_from(millis).ok().filter(|_| millis <= Timestamp::MAX_TEXT.as_millis());
    let invalid = || InvalidMail::new(field, format!("{millis} is not a time in ms since 1970"));
    valid.map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).ok_or_else(invalid)
}

/// Refuses a message with a bare CR, a bare LF or NUL, which servers interpret differently (SMTP smuggling).
///
/// No job is known that leads to one: every part is normalized before.
fn check_line_ends(message: &[u8]) -> Result<(), InvalidMail> {
    let mut last = 0;
    for byte in message {
        if *byte == 0 || (last == b'\r') != (*byte == b'\n') {
            return Err(InvalidMail::new("mail", "contains NUL, or a CR or LF that is not a line end"));
        }
        last = *byte;
    }
    if last == b'\r' { Err(InvalidMail::new("mail", "ends with a CR")) } else { Ok(()) }
}

#[cfg(test)]
mod sendable_tests;
#[cfg(test)]
mod tests;
