//! Header text: validation and folding (RFC 5322, section 2.2.3).

use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_core::is_header_text;
use lettre::message::header::{HeaderName, HeaderValue};

use super::invalid_mail::InvalidMail;

/// Longest word in a header, in bytes: a line has at most 998, and is folded only between words.
const LONGEST_WORD: usize = 900;

/// Bytes of text in one encoded word, which has 75 characters at most (RFC 2047, section 2).
const ENCODED_BYTES: usize = 45;
const FIRST_ENCODED_BYTES: usize = 36;

/// Refuses line breaks and other control characters, which allow header injection, and ASCII words that are too long for a
/// line. Non-ASCII words are encoded, so they can be folded anywhere.
pub(super) fn one_line<'a>(field: &'static str, text: &'a str) -> Result<&'a str, InvalidMail> {
    if !is_header_text(text) {
        Err(InvalidMail::new(field, "contains a line break or control character"))
    } else if words(text).any(is_too_long) {
        Err(InvalidMail::new(field, format!("contains a word of more than {LONGEST_WORD} bytes")))
    } else {
        Ok(text)
    }
}

/// Returns the header `Subject` for any text without control characters.
///
/// It is plain ASCII, or encoded as a whole: readers ignore spaces between encoded words (RFC 2047, section 6.2).
pub(super) fn subject(text: &str) -> Result<HeaderValue, InvalidMail> {
    if !is_header_text(text) {
        return Err(InvalidMail::new("subject", "contains a line break or control character"));
    }
    // Readers drop spaces at both ends, and collapse several at a fold.
    let is_ragged = text.starts_with(' ') || text.ends_with(' ') || text.contains("  ");
    let is_encoded = !text.is_ascii() || is_ragged || words(text).any(is_too_long);
    let name = HeaderName::new_from_ascii_str("Subject");
    Ok(HeaderValue::new(name, if is_encoded { encoded(text) } else { text.to_owned() }))
}

/// Returns a custom header. Headers that the mailer sets itself are refused.
pub(super) fn custom_header(field: &'static str, name: &str, value: &str) -> Result<HeaderValue, InvalidMail> {
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
    let name = name.trim_matches([' ', '\t']);
    if OURS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(InvalidMail::new(field, format!("{name:?} cannot be set here")));
    }
    // RFC 5322, section 3.6.8; lettre takes control characters.
    let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
    let name = is_name
        .then(|| HeaderName::new_from_ascii(name.to_owned()).ok())
        .flatten()
        .ok_or_else(|| InvalidMail::new(field, format!("{name:?} is not a header name")))?;
    let value = one_line(field, value)?.trim();
    Ok(HeaderValue::new(name, if value.is_ascii() { value.to_owned() } else { encoded(value) }))
}

/// Returns whether a text is a message id (RFC 5322, section 3.6.4), with or without angle brackets.
pub(super) fn is_message_id(text: &str) -> bool {
    let id = text.strip_prefix('<').and_then(|text| text.strip_suffix('>')).unwrap_or(text);
    let is_allowed = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'<' | b'>' | b',' | b';');
    (1..=LONGEST_WORD).contains(&id.len()) && id.bytes().all(is_allowed)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ')
}

fn is_too_long(word: &str) -> bool {
    word.is_ascii() && word.len() > LONGEST_WORD
}

/// Returns encoded words (RFC 2047), between which a line can be folded; the first shares its line with the header's name.
fn encoded(text: &str) -> String {
    let (mut words, mut rest, mut bytes) = (Vec::new(), text, FIRST_ENCODED_BYTES);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.floor_char_boundary(bytes));
        words.push(format!("=?utf-8?b?{}?=", BASE64_STANDARD.encode(part)));
        (rest, bytes) = (after, ENCODED_BYTES);
    }
    words.join(" ")
}
