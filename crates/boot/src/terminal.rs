//! Escapes text for an operator's terminal. Text from a server, a job or a key may hold control characters, which move
//! the cursor, hide lines or change the reading direction.

use std::{borrow::Cow, fmt::Write as _, io};

/// Returns whether a terminal interprets it: C0, DEL and C1, bidirectional overrides, isolates and marks, and the two line separators of Unicode.
fn is_control(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61C}' | '\u{200E}' | '\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

/// Returns `text` as one line, with control characters and line feeds as `\u{1b}`.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, is_control, |char, shown| shown.extend(char.escape_unicode()))
}

/// Returns equivalent JSON without control characters, except the line feeds between its lines.
pub fn json(text: &str) -> Cow<'_, str> {
    // Characters below U+0020 are escaped already; all others are in the first plane.
    escaped(
        text,
        |char| char != '\n' && is_control(char),
        |char, shown| {
            let _ = write!(shown, "\\u{:04x}", u32::from(char)); // writing to a String cannot fail
        },
    )
}

/// Escapes log lines for people, except the subscriber's colours; it has escaped ESC in the text.
pub(crate) fn coloured(text: &str) -> Cow<'_, str> {
    let kept = |char| matches!(char, '\n' | '\t' | '\u{1b}');
    escaped(text, |char| !kept(char) && is_control(char), |char, shown| shown.extend(char.escape_unicode()))
}

fn escaped(text: &str, is_escaped: impl Fn(char) -> bool, escape: impl Fn(char, &mut String)) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    Cow::Owned(text.chars().fold(String::with_capacity(text.len() + 16), |mut shown, char| {
        if is_escaped(char) {
            escape(char, &mut shown);
        } else {
            shown.push(char);
        }
        shown
    }))
}

/// Writer of whole log lines that escapes them.
pub(crate) struct Escaping<W> {
    pub(crate) inner: W,
    pub(crate) escape: fn(&str) -> Cow<'_, str>,
}

impl<W: io::Write> io::Write for Escaping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match std::str::from_utf8(bytes) {
            Ok(text) => self.inner.write_all((self.escape)(text).as_bytes())?,
            Err(_) => self.inner.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLANTED: &str = "a\u{1b}[2Jb\u{7}\0\u{7f}\u{9b}31m\u{202e}x\u{2066}\u{2028}\r\nü🦀";

    #[test]
    fn a_line_has_no_control_characters() {
        let shown = line(PLANTED);
        assert!(
            !shown.chars().any(is_control) && shown.starts_with("a\\u{1b}[2Jb") && shown.ends_with("ü🦀"),
            "{shown}"
        );
        assert!(matches!(line("plain ü🦀"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_keeps_its_meaning() {
        let value = serde_json::json!({PLANTED: [PLANTED]});
        for text in [value.to_string(), serde_json::to_string_pretty(&value).expect("JSON")] {
            let shown = json(&text);
            assert!(!shown.chars().any(|char| char != '\n' && is_control(char)), "{shown}");
            assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).expect("JSON"), value);
        }
    }
}
