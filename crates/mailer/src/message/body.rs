//! The MIME tree of a mail (RFC 2046), in nodemailer's shape:
//!
//! ```text
//!   mixed ─┬─ alternative ─┬─ text
//!          │               ├─ related ─┬─ HTML
//!          │               │           └─ files that the HTML shows (cid)
//!          │               └─ the same in other media types
//!          └─ other files
//! ```
//! A node with one child is replaced by the child.

use std::borrow::Cow;

use examhall_core::{Attachment, EmailJob, MailHeaders};
use lettre::message::{
    Body,
    header::{ContentDisposition, ContentTransferEncoding, ContentType, Header, HeaderName, HeaderValue, Headers},
};

use super::{
    header_text::{custom_header, one_line},
    identity::Identity,
    invalid_mail::InvalidMail,
    media_type,
};

/// Largest total size of a mail's attachments, in bytes, before base64.
pub(super) const MAX_ATTACHMENTS: usize = 5 * 1024 * 1024;
/// Longest line, in bytes (RFC 5322, section 2.1.1).
const LONGEST_LINE: usize = 998;

/// A node of the tree.
enum Node {
    /// Header and content, encoded.
    Part(Vec<u8>),
    Multipart(&'static str, Vec<Node>),
}

/// Returns the body of a mail, with the header fields that describe it.
pub(super) fn body(job: &EmailJob, identity: &Identity<'_>) -> Result<Vec<u8>, InvalidMail> {
    let size = job.attachments.iter().map(|file| file.content.len()).sum::<usize>();
    if size > MAX_ATTACHMENTS {
        return Err(InvalidMail::new("attachments", format!("more than {MAX_ATTACHMENTS} bytes in all")));
    }
    let root = tree(job)?;
    let boundary = identity.boundary(|boundary| root.contains(boundary.as_bytes()));
    let mut bytes = Vec::with_capacity(root.len() + 1024);
    root.write(&boundary, &mut bytes);
    Ok(bytes)
}

fn tree(job: &EmailJob) -> Result<Node, InvalidMail> {
    let has_html = !job.html.is_empty();
    let (mut related, mut attached) = (Vec::new(), Vec::new());
    for (n, file) in job.attachments.iter().enumerate() {
        let node = attached_file(file, n + 1)?;
        if has_html && file.cid.is_some() { related.push(node) } else { attached.push(node) }
    }
    let mut bodies = Vec::new();
    if let Some(text) = job.text.as_deref().filter(|text| !text.is_empty()) {
        bodies.push(text_part(text, "text/plain; charset=utf-8", Headers::new())?);
    }
    // Readers show the last body that they understand.
    let (before_html, after_html): (Vec<_>, Vec<_>) = job.alternatives.iter().partition(|it| is_for_few(it));
    for alternative in before_html {
        bodies.push(alternative_body(alternative)?);
    }
    if has_html {
        let html = text_part(&job.html, "text/html; charset=utf-8", Headers::new())?;
        let children = std::iter::once(html).chain(related).collect();
        bodies.push(Node::of("related; type=\"text/html\"", children));
    }
    for alternative in after_html {
        bodies.push(alternative_body(alternative)?);
    }
    if bodies.is_empty() && attached.is_empty() {
        bodies.push(text_part("", "text/plain; charset=utf-8", Headers::new())?);
    }
    let text = (!bodies.is_empty()).then(|| Node::of("alternative", bodies));
    Ok(Node::of("mixed", text.into_iter().chain(attached).collect()))
}

impl Node {
    fn of(kind: &'static str, mut children: Vec<Self>) -> Self {
        match children.pop() {
            Some(only) if children.is_empty() => only,
            last => {
                children.extend(last);
                Self::Multipart(kind, children)
            }
        }
    }

    fn len(&self) -> usize {
        match self {
            Self::Part(bytes) => bytes.len(),
            Self::Multipart(_, children) => children.iter().map(|child| child.len() + 256).sum(),
        }
    }

    fn contains(&self, text: &[u8]) -> bool {
        match self {
            Self::Part(bytes) => is_in(bytes, text),
            Self::Multipart(_, children) => children.iter().any(|child| child.contains(text)),
        }
    }

    /// Writes the node. The boundary of each kind of multipart is different, and none begins with another.
    fn write(&self, boundary: &str, bytes: &mut Vec<u8>) {
        let (kind, children) = match self {
            Self::Part(part) => return bytes.extend_from_slice(part),
            Self::Multipart(kind, children) => (kind, children),
        };
        let own = format!("{}-{boundary}", &kind[..3]);
        bytes.extend(format!("Content-Type: multipart/{kind};\r\n boundary=\"{own}\"\r\n\r\n").bytes());
        for child in children {
            bytes.extend(format!("--{own}\r\n").bytes());
            child.write(boundary, bytes);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend(format!("--{own}--\r\n").bytes());
    }
}

/// Finds a text by its first byte and a comparison: a boundary has no repetition that would make this slow.
fn is_in(bytes: &[u8], text: &[u8]) -> bool {
    let Some(first) = text.first() else { return true };
    let mut rest = bytes;
    while let Some(at) = rest.iter().position(|byte| byte == first) {
        if rest[at..].starts_with(text) {
            return true;
        }
        rest = &rest[at + 1..];
    }
    false
}

/// Returns whether few readers understand a body: it stands before the HTML.
fn is_for_few(alternative: &Attachment) -> bool {
    let kind = alternative.content_type.as_deref().unwrap_or_default();
    ["text/watch-html", "text/x-amp-html"].iter().any(|few| kind.starts_with(few))
}

fn alternative_body(file: &Attachment) -> Result<Node, InvalidMail> {
    let kind = file
        .content_type
        .clone()
        .unwrap_or_else(|| media_type::of(file.filename.as_deref().unwrap_or("x.txt")).to_owned());
    let mut headers = part_headers("alternatives", &file.headers)?;
    if starts_with(&kind, "text/") {
        let text = String::from_utf8_lossy(&file.content);
        return text_part(&text, &kind, headers);
    }
    set_disposition("alternatives", &mut headers, file, file.filename.as_deref())?;
    encoded_part("alternatives", &file.content, &kind, headers)
}

fn text_part(text: &str, kind: &str, mut headers: Headers) -> Result<Node, InvalidMail> {
    let text = with_line_ends(text);
    let body = match encoding(&text) {
        ContentTransferEncoding::SevenBit => {
            Ok(Body::dangerous_pre_encoded(text.into_owned().into_bytes(), ContentTransferEncoding::SevenBit))
        }
        other => Body::new_with_encoding(text.into_owned().into_bytes(), other),
    };
    let body = body.unwrap_or_else(Body::new);
    headers.set(content_type("alternatives", kind)?);
    headers.set(body.encoding());
    Ok(part(&headers, body.as_ref()))
}

/// The transfer encoding of a text: the one that a reader of the source can read, if possible.
fn encoding(text: &str) -> ContentTransferEncoding {
    let is_plain = |byte: u8| matches!(byte, b' '..=b'~' | b'\t' | b'\r' | b'\n');
    if text.bytes().all(is_plain) && text.split("\r\n").all(|line| line.len() <= LONGEST_LINE) {
        return ContentTransferEncoding::SevenBit;
    }
    let escaped = text.bytes().filter(|byte| !is_plain(*byte)).count();
    if escaped * 3 > text.len() { ContentTransferEncoding::Base64 } else { ContentTransferEncoding::QuotedPrintable }
}

/// Turns each line end into CRLF, in one pass. A bare CR is a line end, too: it is illegal in a mail (RFC 5322,
/// section 2.3), and some servers take what follows it for a command.
pub(super) fn with_line_ends(text: &str) -> Cow<'_, str> {
    if !text.contains(['\r', '\n']) {
        return text.into();
    }
    let mut lines = String::with_capacity(text.len() + text.len() / 16);
    let mut rest = text;
    while let Some(end) = rest.find(['\r', '\n']) {
        lines.push_str(&rest[..end]);
        lines.push_str("\r\n");
        rest = rest[end..].strip_prefix("\r\n").unwrap_or(&rest[end + 1..]);
    }
    lines.push_str(rest);
    lines.into()
}

fn attached_file(file: &Attachment, number: usize) -> Result<Node, InvalidMail> {
    const FIELD: &str = "attachments";
    let named = file.filename.as_deref();
    let kind = file.content_type.as_deref().unwrap_or_else(|| media_type::of(named.unwrap_or_default()));
    let made_up = || format!("attachment-{number}.{}", media_type::extension(kind));
    let is_message = starts_with(kind, "message/");
    let name = match named {
        Some(name) => Some(name.to_owned()),
        None => (!file.is_nameless && !is_message).then(made_up),
    };
    let mut headers = part_headers(FIELD, &file.headers)?;
    if let Some(cid) = &file.cid {
        let cid: String = cid.chars().filter(|c| !matches!(c, '<' | '>')).collect();
        if cid.is_empty() || !cid.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(InvalidMail::new(FIELD, format!("{cid:?} is not a content id (cid)")));
        }
        headers.insert_raw(raw("Content-ID", format!("<{cid}>")));
    }
    set_disposition(FIELD, &mut headers, file, name.as_deref())?;
    if is_message {
        return message_part(&file.content, kind, headers);
    }
    encoded_part(FIELD, &file.content, kind, headers)
}

fn starts_with(kind: &str, start: &str) -> bool {
    kind.get(..start.len()).is_some_and(|it| it.eq_ignore_ascii_case(start))
}

fn set_disposition(
    field: &'static str,
    headers: &mut Headers,
    file: &Attachment,
    name: Option<&str>,
) -> Result<(), InvalidMail> {
    let kind = file.content_type.as_deref().unwrap_or_else(|| media_type::of(name.unwrap_or_default()));
    let is_shown = starts_with(kind, "message/") || starts_with(kind, "image/") && file.cid.is_some();
    let is_inline = match file.content_disposition.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None => is_shown,
        Some("inline") => true,
        Some("attachment") => false,
        Some(other) => return Err(InvalidMail::new(field, format!("contentDisposition {other:?} is not supported"))),
    };
    match (is_inline, name) {
        (true, Some(name)) => headers.set(ContentDisposition::inline_with_name(one_line(field, name)?)),
        (true, None) => headers.set(ContentDisposition::inline()),
        (false, Some(name)) => headers.set(ContentDisposition::attachment(one_line(field, name)?)),
        (false, None) => headers.insert_raw(raw("Content-Disposition", "attachment".to_owned())),
    }
    Ok(())
}

fn encoded_part(field: &'static str, content: &[u8], kind: &str, mut headers: Headers) -> Result<Node, InvalidMail> {
    if starts_with(kind, "multipart/") {
        return Err(InvalidMail::new(field, format!("contentType {kind:?} is not supported")));
    }
    headers.set(content_type(field, kind)?);
    headers.set(ContentTransferEncoding::Base64);
    let body = Body::new_with_encoding(content.to_vec(), ContentTransferEncoding::Base64).unwrap_or_else(Body::new);
    Ok(part(&headers, body.as_ref()))
}

/// A mail within the mail: it must not be encoded (RFC 2046, section 5.2.1).
fn message_part(content: &[u8], kind: &str, mut headers: Headers) -> Result<Node, InvalidMail> {
    let unsendable =
        || InvalidMail::new("attachments", "a mail within the mail must be UTF-8 without NUL, and its lines short");
    let text = std::str::from_utf8(content).map_err(|_| unsendable())?;
    let text = with_line_ends(text);
    if text.contains('\0') || text.split("\r\n").any(|line| line.len() > LONGEST_LINE) {
        return Err(unsendable());
    }
    headers.set(content_type("attachments", kind)?);
    headers.set(if text.is_ascii() { ContentTransferEncoding::SevenBit } else { ContentTransferEncoding::EightBit });
    Ok(part(&headers, text.as_bytes()))
}

fn part(headers: &Headers, content: &[u8]) -> Node {
    let mut bytes = headers.to_string().into_bytes();
    bytes.reserve(content.len() + 2);
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(content);
    Node::Part(bytes)
}

/// Custom header fields of a part, but for those that describe its encoding.
fn part_headers(field: &'static str, fields: &MailHeaders) -> Result<Headers, InvalidMail> {
    let mut headers = Headers::new();
    for (name, value) in &fields.0 {
        let is_ours = [ContentType::name(), ContentTransferEncoding::name(), ContentDisposition::name()]
            .iter()
            .any(|ours| *ours == name.trim());
        if is_ours {
            return Err(InvalidMail::new(field, format!("the header {name:?} cannot be set here")));
        }
        headers.insert_raw(custom_header(field, name, value)?);
    }
    Ok(headers)
}

fn raw(name: &'static str, value: String) -> HeaderValue {
    HeaderValue::dangerous_new_pre_encoded(HeaderName::new_from_ascii_str(name), value.clone(), value)
}

fn content_type(field: &'static str, kind: &str) -> Result<ContentType, InvalidMail> {
    ContentType::parse(kind).map_err(|_| InvalidMail::new(field, format!("{kind:?} is not a media type")))
}
