//! From a job to the bytes that are sent: the same ones whenever it is done.

mod header_text;
mod mailbox;

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, SystemTime},
};

use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_core::{Attachment, EmailJob};
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
    mailbox::{address_list, mailbox, mailboxes},
};
use crate::dkim::Signer;

/// Largest attachments of one mail together, in bytes, before base64.
const MAX_ATTACHMENTS: usize = 5 * 1024 * 1024;

/// Who mails are from, and how that is proven.
#[derive(Clone, Debug)]
pub(crate) struct Author {
    /// `MAIL_FROM`.
    pub(crate) from: Mailbox,
    /// Signs mails, where that is not left to the relay.
    pub(crate) dkim: Option<Arc<Signer>>,
}

/// In ms since 1970.
const YEAR_10_000: u64 = 253_402_300_800_000;

/// A mail ready to be sent.
pub(crate) struct Prepared {
    pub(crate) from: Address,
    /// Whether the author is `MAIL_FROM`.
    pub(crate) sender_is_ours: bool,
    pub(crate) to: Vec<Address>,
    /// Recipients that were left out because they are suppressed.
    pub(crate) suppressed: Vec<String>,
    pub(crate) message_id: String,
    /// When the job was added, where its id was counted: such an id may have been another job's.
    pub(crate) job_timestamp: Option<i64>,
    pub(crate) bytes: Vec<u8>,
}

/// A job that is no mail, whoever carries it. Its text names the field.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub(crate) struct NotAMail {
    field: &'static str,
    problem: String,
}

impl NotAMail {
    fn new(field: &'static str, problem: impl Into<String>) -> Self {
        Self { field, problem: problem.into() }
    }
}

/// Makes the mail of the job `id`, added at `timestamp` (ms since 1970). It is from `author` where the job names nobody.
pub(crate) fn prepare(job: &EmailJob, id: &str, timestamp: i64, author: &Author) -> Result<Prepared, NotAMail> {
    job.check_recipients().map_err(|error| NotAMail::new("to", error.to_string()))?;
    let from = match &job.from {
        Some(from) => mailbox("from", from)?,
        None => author.from.clone(),
    };
    let (to, cc, bcc) = (mailboxes("to", &job.to)?, mailboxes("cc", &job.cc)?, mailboxes("bcc", &job.bcc)?);
    let message_id = match &job.message_id {
        Some(given) => one_line("messageId", given)?.to_owned(),
        // An id that was counted may be another job's later.
        None if is_counted(id) => format!("<{id}.{timestamp}@{}>", from.email.domain()),
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
    let sender_is_ours = from.email == author.from.email;
    let job_timestamp = is_counted(id).then_some(timestamp);
    Ok(Prepared { from: from.email, sender_is_ours, to, suppressed: Vec::new(), message_id, job_timestamp, bytes })
}

/// Whether the queue gave the id: those are counted, anew where the queue was obliterated.
fn is_counted(id: &str) -> bool {
    id.bytes().all(|byte| byte.is_ascii_digit())
}

/// When the job was added; a year has four digits (RFC 5322, section 3.3).
fn date(timestamp: i64) -> Result<SystemTime, NotAMail> {
    let millis = u64::try_from(timestamp).ok().filter(|millis| *millis < YEAR_10_000);
    let wrong = || NotAMail::new("timestamp", format!("{timestamp} is no moment in ms since 1970"));
    millis.map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).ok_or_else(wrong)
}

/// `mixed` of the texts and the attachments; the boundaries are made of the job's id, so that they are always the same.
fn body(job: &EmailJob, id: &str) -> Result<MultiPart, NotAMail> {
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

/// A CR alone ends a line, too: in a mail it must not stand alone (RFC 5322, section 2.3), and some servers take what
/// follows it for a command.
fn with_line_ends(text: &str) -> Cow<'_, str> {
    if text.contains('\r') { text.replace("\r\n", "\n").replace('\r', "\n").into() } else { text.into() }
}

fn attached(attachment: &Attachment, size: &mut usize) -> Result<SinglePart, NotAMail> {
    let content = BASE64_STANDARD
        .decode(&attachment.content)
        .map_err(|error| NotAMail::new("attachments", format!("{:?} is no base64: {error}", attachment.filename)))?;
    *size += content.len();
    if *size > MAX_ATTACHMENTS {
        return Err(NotAMail::new("attachments", format!("more than {MAX_ATTACHMENTS} bytes in all")));
    }
    let kind = attachment.content_type.as_deref().unwrap_or("application/octet-stream");
    let kind =
        ContentType::parse(kind).map_err(|_| NotAMail::new("attachments", format!("{kind:?} is no media type")))?;
    Ok(SinglePart::builder()
        .header(ContentDisposition::attachment(one_line("attachments", &attachment.filename)?))
        .header(ContentTransferEncoding::Base64)
        .header(kind)
        .body(content))
}

/// Fields that say who sends what to whom cannot be given as further headers.
fn header(name: &str, value: &str) -> Result<HeaderValue, NotAMail> {
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
        return Err(NotAMail::new("headers", format!("{name:?} cannot be set here")));
    }
    let name = HeaderName::new_from_ascii(name.to_owned())
        .map_err(|_| NotAMail::new("headers", format!("{name:?} is no header name")))?;
    Ok(HeaderValue::new(name, one_line("headers", value)?.to_owned()))
}

#[cfg(test)]
mod sendable_tests;
#[cfg(test)]
mod tests;
