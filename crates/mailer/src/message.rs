//! Composes the mail of a job: the same bytes at each attempt.

mod header_text;
mod invalid_mail;
mod mailbox;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_core::{Attachment, EmailJob, Timestamp};
use lettre::{
    Address,
    message::{
        Mailbox, Mailboxes, MultiPart, SinglePart,
        header::{
            ContentDisposition, ContentTransferEncoding, ContentType, Date, From, HeaderName, HeaderValue, Headers,
            MIME_VERSION_1_0, MessageId, ReplyTo,
        },
    },
};

use self::{
    header_text::{one_line, subject},
    invalid_mail::InvalidMail,
    mailbox::{address_list, mailbox, mailboxes},
};
use crate::dkim::Signer;

/// Largest total size of a mail's attachments, in bytes, before base64.
const MAX_ATTACHMENTS: usize = 5 * 1024 * 1024;

/// Sender of all mails whose job names none, and the DKIM key.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    /// `MAIL_FROM`.
    pub(crate) from: Mailbox,
    /// Signs mails, unless the relay does.
    pub(crate) dkim: Option<Arc<Signer>>,
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
    pub(crate) message_id: String,
    /// When the job was added, if its id is a number: such an id may be reused.
    pub(crate) job_timestamp: Option<i64>,
    pub(crate) bytes: Vec<u8>,
}

/// Composes the mail of the job `id`, added at `timestamp` (ms since 1970). Its sender is `author` unless the job names one.
pub(crate) fn prepare(job: &EmailJob, id: &str, timestamp: i64, author: &Author) -> Result<PreparedMail, InvalidMail> {
    job.check_recipients().map_err(|error| InvalidMail::new("to", error.to_string()))?;
    let from = match &job.from {
        Some(from) => mailbox("from", from)?,
        None => author.from.clone(),
    };
    let (to, cc, bcc) = (mailboxes("to", &job.to)?, mailboxes("cc", &job.cc)?, mailboxes("bcc", &job.bcc)?);
    let message_id = match &job.message_id {
        Some(given) => one_line("messageId", given)?.to_owned(),
        // A numeric id may be reused by another job.
        None if is_numeric(id) => format!("<{id}.{timestamp}@{}>", from.email.domain()),
        None => format!("<{id}@{}>", from.email.domain()),
    };
    let mut headers = Headers::new();
    headers.set(From::from(Mailboxes::from(from.clone())));
    headers.insert_raw(subject(&job.subject)?);
    headers.set(Date::from(date(timestamp)?));
    headers.set(MessageId::from(message_id.clone()));
    headers.insert_raw(address_list("To", &to));
    if !cc.is_empty() {
        headers.insert_raw(address_list("Cc", &cc));
    }
    if let Some(reply_to) = &job.reply_to {
        headers.set(ReplyTo::from(Mailboxes::from(mailbox("replyTo", reply_to)?)));
    }
    for (name, value) in &job.headers {
        headers.insert_raw(header(name, value)?);
    }
    headers.set(MIME_VERSION_1_0);
    let mut bytes = headers.to_string().into_bytes();
    bytes.extend(body(job, id)?.formatted());
    let to = [to, cc, bcc].concat().into_iter().map(|mailbox| mailbox.email).collect();
    if let Some(signer) = &author.dkim {
        bytes.splice(..0, signer.sign(&bytes).into_bytes());
    }
    let sender = if from.email == author.from.email { SenderOrigin::Settings } else { SenderOrigin::Job };
    let job_timestamp = is_numeric(id).then_some(timestamp);
    Ok(PreparedMail { from: from.email, sender, to, suppressed: Vec::new(), message_id, job_timestamp, bytes })
}

/// Returns whether the queue generated the id: such ids start again after the queue was obliterated.
fn is_numeric(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_digit())
}

/// Returns the `Date` of a mail; a year has four digits (RFC 5322, section 3.3).
fn date(timestamp: i64) -> Result<SystemTime, InvalidMail> {
    let millis = u64::try_from(timestamp).ok().filter(|_| timestamp <= Timestamp::MAX_TEXT.as_millis());
    let invalid = || InvalidMail::new("timestamp", format!("{timestamp} is not a time in ms since 1970"));
    millis.map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).ok_or_else(invalid)
}

/// Returns the body: `mixed` of texts and attachments. Boundaries are derived from the job's id, so that they never change.
fn body(job: &EmailJob, id: &str) -> Result<MultiPart, InvalidMail> {
    let boundary = |part: &str| format!("{part}-{}", id.replace(|c: char| !c.is_ascii_alphanumeric(), "-"));
    let alternative = MultiPart::alternative().boundary(boundary("text"));
    let html = SinglePart::html(with_line_ends(&job.html).into_owned());
    let texts = match &job.text {
        Some(text) => alternative.singlepart(SinglePart::plain(with_line_ends(text).into_owned())).singlepart(html),
        None => alternative.singlepart(html),
    };
    if job.attachments.is_empty() {
        return Ok(texts);
    }
    let mut mixed = MultiPart::mixed().boundary(boundary("mixed")).multipart(texts);
    let mut size = 0;
    for attachment in &job.attachments {
        let part = attached(attachment, &mut size)?;
        mixed = mixed.singlepart(part);
    }
    Ok(mixed)
}

/// Normalizes line ends. A bare CR is a line end, too: it is illegal in a mail (RFC 5322, section 2.3), and some servers
/// execute what follows it as a command.
fn with_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

fn attached(attachment: &Attachment, size: &mut usize) -> Result<SinglePart, InvalidMail> {
    let content = BASE64_STANDARD.decode(&attachment.content).map_err(|error| {
        InvalidMail::new("attachments", format!("{:?} is not base64: {error}", attachment.filename))
    })?;
    *size += content.len();
    if *size > MAX_ATTACHMENTS {
        return Err(InvalidMail::new("attachments", format!("more than {MAX_ATTACHMENTS} bytes in all")));
    }
    let kind = attachment.content_type.as_deref().unwrap_or("application/octet-stream");
    let kind = ContentType::parse(kind)
        .map_err(|_| InvalidMail::new("attachments", format!("{kind:?} is not a media type")))?;
    Ok(SinglePart::builder()
        .header(ContentDisposition::attachment(one_line("attachments", &attachment.filename)?))
        .header(ContentTransferEncoding::Base64)
        .header(kind)
        .body(content))
}

/// Returns a custom header. Headers that the mailer sets itself are refused.
fn header(name: &str, value: &str) -> Result<HeaderValue, InvalidMail> {
    const OURS: &[&str] = &[
        "from",
        "sender",
        "to",
        "cc",
        "bcc",
        "subject",
        "date",
        "message-id",
        "reply-to",
        "mime-version",
        "content-type",
        "content-transfer-encoding",
        "return-path",
        "dkim-signature",
    ];
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(InvalidMail::new("headers", format!("{name:?} cannot be set here")));
    }
    let name = HeaderName::new_from_ascii(name.to_owned())
        .map_err(|_| InvalidMail::new("headers", format!("{name:?} is not a header name")))?;
    Ok(HeaderValue::new(name, one_line("headers", value)?.to_owned()))
}

#[cfg(test)]
mod sendable_tests;
#[cfg(test)]
mod tests;
