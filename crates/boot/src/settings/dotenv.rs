//! Parser of `.env` files, compatible with Node's dotenv 16: it substitutes nothing, so a password may hold a `$`.

use std::sync::LazyLock;

use regex::Regex;

/// dotenv's own expression for one entry, with JavaScript's meaning of `\s` and `\w`.
static ENTRY: LazyLock<Regex> = LazyLock::new(|| {
    let space = r"[\t\n\x0B\x0C\r \x{A0}\x{1680}\x{2000}-\x{200A}\x{2028}\x{2029}\x{202F}\x{205F}\x{3000}\x{FEFF}]";
    let expression = r#"(?m)^\s*(?:export\s+)?([0-9A-Za-z_.-]+)(?:\s*=\s*?|:\s+?)(\s*'(?:\\'|[^'])*'|\s*"(?:\\"|[^"])*"|\s*`(?:\\`|[^`])*`|[^#\r\n]+)?\s*(?:#.*)?$"#;
    Regex::new(&expression.replace(r"\s", space)).expect("a regular expression")
});

/// A line that is no entry, no comment and not empty; dotenv would drop it. Its text is not kept: it may be a secret.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NoEntry {
    /// Line number, from 1.
    pub(super) line: usize,
}

/// Parses names and values in order; if a name is repeated, its last value counts.
pub(super) fn parse(text: &str) -> Result<Vec<(String, String)>, NoEntry> {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    let (mut entries, mut read) = (Vec::new(), 0);
    for found in ENTRY.captures_iter(&text) {
        let Some(whole) = found.get(0) else { continue };
        reject_leftovers(&text, read, whole.start())?;
        read = whole.end();
        entries.push((found[1].to_owned(), value(found.get(2).map_or("", |given| given.as_str()))));
    }
    reject_leftovers(&text, read, text.len())?;
    Ok(entries)
}

fn value(given: &str) -> String {
    let given = given.trim_matches(is_space);
    let quote = given.chars().next().filter(|first| matches!(first, '\'' | '"' | '`'));
    let bare = quote.and_then(|quote| given.strip_prefix(quote)?.strip_suffix(quote)).unwrap_or(given);
    match quote {
        Some('"') => bare.replace(r"\n", "\n").replace(r"\r", "\r"),
        _ => bare.to_owned(),
    }
}

fn reject_leftovers(text: &str, start: usize, end: usize) -> Result<(), NoEntry> {
    let before = text[..start].matches('\n').count();
    for (number, line) in text[start..end].split('\n').enumerate() {
        let line = line.trim_matches(is_space);
        if !line.is_empty() && !line.starts_with('#') {
            return Err(NoEntry { line: before + number + 1 });
        }
    }
    Ok(())
}

/// Returns whether JavaScript trims it.
fn is_space(c: char) -> bool {
    c == '\u{FEFF}' || (c.is_whitespace() && c != '\u{85}')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Files, and the result of `require('dotenv').parse` of dotenv 16.6.
    const TABLE: &str = include_str!("dotenv_table.json");

    #[test]
    fn values_are_those_of_node_dotenv() {
        let table: Vec<(String, serde_json::Map<String, serde_json::Value>)> =
            serde_json::from_str(TABLE).expect("a table");
        assert!(table.len() > 60, "{}", table.len());
        for (text, expected) in table {
            let read = parse(&text).unwrap_or_else(|NoEntry { line }| panic!("line {line} of {text:?}"));
            let read: serde_json::Map<_, _> = read.into_iter().map(|(name, value)| (name, value.into())).collect();
            assert_eq!(read, expected, "{text:?}");
        }
    }

    #[test]
    fn lines_that_dotenv_drops_are_rejected_by_number() {
        for (text, line) in [
            ("A=1\nhunter2\nB=2", 2),
            ("A=1\n# fine\n\n=x", 4),
            ("A B=1", 1),
            ("A=1\r\nB:2\r\n", 2),
            ("A='x\ny'\noops", 3),
            ("NAME", 1),
            ("export A", 1),
            ("ÄRGER=1", 1),
            ("A=1\n\u{FEFF}!", 2),
        ] {
            assert_eq!(parse(text), Err(NoEntry { line }), "{text:?}");
        }
    }
}
