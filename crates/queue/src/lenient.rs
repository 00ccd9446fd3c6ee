//! JSON that JavaScript reads and serde does not: lone surrogates (`JSON.stringify` of a cut emoji), numbers beyond a double,
//! deep nesting, text that is not UTF-8.

use serde::de::{DeserializeOwned, IgnoredAny};

/// Deepest level that is read as it is; what is deeper is read as its JSON text.
const DEEPEST: usize = 100;

/// Reads JSON as JavaScript does: a lone surrogate becomes U+FFFD, and a number beyond a double the largest one.
pub(crate) fn read<T: DeserializeOwned>(json: &[u8]) -> serde_json::Result<T> {
    serde_json::from_slice(json).or_else(|error| {
        let text = String::from_utf8_lossy(json);
        let readable = to_readable(&text);
        if readable.as_bytes() == json { Err(error) } else { serde_json::from_str(&readable) }
    })
}

/// Checks whether JavaScript can read a text as JSON.
pub(crate) fn check(json: &[u8]) -> serde_json::Result<()> {
    serde_json::from_str::<IgnoredAny>(&String::from_utf8_lossy(json)).map(drop)
}

fn to_readable(json: &str) -> String {
    let mut readable = String::with_capacity(json.len());
    let (mut rest, mut depth) = (json, 0_usize);
    while let Some(first) = rest.chars().next() {
        let length = match first {
            '"' => string_length(rest),
            '-' | '0'..='9' => {
                rest.find(|c| !matches!(c, '0'..='9' | '-' | '+' | '.' | 'e' | 'E')).unwrap_or(rest.len())
            }
            '[' | '{' if depth == DEEPEST => nested_length(rest),
            _ => first.len_utf8(),
        };
        let (token, after) = rest.split_at(length);
        match first {
            '"' => push_string(&mut readable, token),
            '-' | '0'..='9' => readable.push_str(number(token)),
            '[' | '{' if depth == DEEPEST => readable.push_str(&serde_json::Value::from(token).to_string()),
            _ => {
                match first {
                    '[' | '{' => depth += 1,
                    ']' | '}' => depth = depth.saturating_sub(1),
                    _ => {}
                }
                readable.push(first);
            }
        }
        rest = after;
    }
    readable
}

/// Returns the length of the string at the start of a text, with its quotation marks.
fn string_length(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' => is_escaped = true,
            b'"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Returns the length of the list or object at the start of a text.
fn nested_length(text: &str) -> usize {
    let (mut at, mut depth) = (0, 0_usize);
    while let Some(byte) = text.as_bytes().get(at) {
        match byte {
            b'"' => at += string_length(&text[at..]) - 1,
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth -= 1,
            _ => {}
        }
        at += 1;
        if depth == 0 {
            break;
        }
    }
    at
}

fn number(token: &str) -> &str {
    match token.parse::<f64>() {
        Ok(f64::INFINITY) => "1.7976931348623157e308",
        Ok(f64::NEG_INFINITY) => "-1.7976931348623157e308",
        _ => token,
    }
}

fn push_string(readable: &mut String, token: &str) {
    let mut rest = token;
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        readable.push_str(before);
        let length = match (unit(escape), escape.get(6..).and_then(unit)) {
            (Some(0xD800..=0xDBFF), Some(0xDC00..=0xDFFF)) => 12,
            (Some(0xD800..=0xDFFF), _) => {
                readable.push('\u{FFFD}');
                rest = &escape[6..];
                continue;
            }
            _ => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        readable.push_str(&escape[..length]);
        rest = &escape[length..];
    }
    readable.push_str(rest);
}

/// Returns the UTF-16 unit of an escape, `\u` and four hexadecimal digits, at the start of a text.
fn unit(text: &str) -> Option<u16> {
    u16::from_str_radix(text.strip_prefix("\\u")?.get(..4)?, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn what_javascript_reads_is_read() {
        for (text, expected) in [
            (r#""Party \ud83d""#, json!("Party \u{FFFD}")),
            (r#""\ude00 \ud83d\ude00 \ud83d\u0041""#, json!("\u{FFFD} \u{1F600} \u{FFFD}A")),
            (r#"{"\ud83d":"\\ud83d"}"#, json!({"\u{FFFD}": "\\ud83d"})),
            (r"[1e999,-1e999,1e-999]", json!([f64::MAX, f64::MIN, 0.0])),
            (r#"["]\"[",1e999]"#, json!(["]\"[", f64::MAX])),
        ] {
            assert_eq!(read::<Value>(text.as_bytes()).ok(), Some(expected), "{text}");
            assert!(check(text.as_bytes()).is_ok(), "{text}");
        }
        assert_eq!(read::<String>(b"\"\xff\"").ok().as_deref(), Some("\u{FFFD}"));
    }

    #[test]
    fn deep_levels_are_read_as_text() {
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let mut level = &read::<Value>(deep.as_bytes()).expect("read");
        while let Value::Array(items) = level {
            level = &items[0];
        }
        assert_eq!(level.as_str().map(str::len), Some(2 * (100_000 - DEEPEST)));
        assert!(check(deep.as_bytes()).is_ok());
    }

    #[test]
    fn what_is_no_json_is_refused() {
        for text in ["{oops", "", "[", "\"", "\"\\", "\"\\ud83d", "]", "[[}", "1e", "nan", "{\"a\":}", "'a'"] {
            assert!(read::<Value>(text.as_bytes()).is_err() && check(text.as_bytes()).is_err(), "{text}");
        }
        assert!(read::<u32>(b"\"x\"").is_err_and(|error| error.is_data()));
    }

    proptest! {
        #[test]
        fn no_text_panics(text in r#"[\[\]{}"\\ud830-9e.,:x-]{0,60}"#) {
            let _ = read::<Value>(text.as_bytes());
        }
    }
}
