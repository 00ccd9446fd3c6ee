//! Texts in headers: what may stand there, and how what is too long for a line is folded (RFC 5322, section 2.2.3).

use base64::{Engine, prelude::BASE64_STANDARD};
use examhall_core::is_header_text;
use lettre::message::header::{HeaderName, HeaderValue};

use super::NotAMail;

/// Longest word in a header, in bytes: a line, which can be broken between words only, has 998.
const LONGEST_WORD: usize = 900;

/// Bytes of text in one encoded word, which has 75 characters at most (RFC 2047, section 2).
const ENCODED_BYTES: usize = 45;
const FIRST_ENCODED_BYTES: usize = 36;

/// Refuses line breaks and other control characters, with which a value could become another header; and words of ASCII that
/// fit into no line: others are encoded, and so can be broken anywhere.
pub(super) fn one_line<'a>(field: &'static str, text: &'a str) -> Result<&'a str, NotAMail> {
    if !is_header_text(text) {
        Err(NotAMail::new(field, "holds a line break or control character"))
    } else if words(text).any(is_too_long) {
        Err(NotAMail::new(field, format!("holds a word of more than {LONGEST_WORD} bytes")))
    } else {
        Ok(text)
    }
}

/// The header `Subject`. Any text without control characters can be one.
///
/// It is plain ASCII, or encoded as a whole: of blanks between encoded words readers see none (RFC 2047, section 6.2).
pub(super) fn subject(text: &str) -> Result<HeaderValue, NotAMail> {
    if !is_header_text(text) {
        return Err(NotAMail::new("subject", "holds a line break or control character"));
    }
    // Blanks at an end are lost, and of several where a line is folded readers keep one.
    let is_ragged = text.starts_with(' ') || text.ends_with(' ') || text.contains("  ");
    let is_encoded = !text.is_ascii() || is_ragged || words(text).any(is_too_long);
    let name = HeaderName::new_from_ascii_str("Subject");
    Ok(HeaderValue::new(name, if is_encoded { encoded(text) } else { text.to_owned() }))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(' ')
}

fn is_too_long(word: &str) -> bool {
    word.is_ascii() && word.len() > LONGEST_WORD
}

/// Encoded words (RFC 2047), between which a line can be folded; the first one shares its line with the header's name.
fn encoded(text: &str) -> String {
    let (mut words, mut rest, mut room) = (Vec::new(), text, FIRST_ENCODED_BYTES);
    while !rest.is_empty() {
        let (part, after) = rest.split_at(rest.floor_char_boundary(room));
        words.push(format!("=?utf-8?b?{}?=", BASE64_STANDARD.encode(part)));
        (rest, room) = (after, ENCODED_BYTES);
    }
    words.join(" ")
}
