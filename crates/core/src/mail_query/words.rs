//! Splits a query into words: `key:value`, with quotes around values that hold spaces.

/// A word of a query, and where it begins, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Word {
    /// What stands before the first colon that is not quoted.
    pub(super) key: Option<String>,
    pub(super) value: String,
    pub(super) at: usize,
}

/// A quote without its end, and where it begins, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OpenQuote(pub(super) usize);

/// Splits at white space outside of quotes. Within quotes, `\"` is a quote and `\\` a backslash.
pub(super) fn split(text: &str) -> Result<Vec<Word>, OpenQuote> {
    let mut words = Vec::new();
    let mut word: Option<Word> = None;
    let mut quote: Option<usize> = None;
    let mut characters = text.chars().enumerate().peekable();
    while let Some((at, character)) = characters.next() {
        if quote.is_none() && character.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let word = word.get_or_insert_with(|| Word { key: None, value: String::new(), at });
        match character {
            '"' => quote = if quote.is_some() { None } else { Some(at) },
            '\\' if quote.is_some() => match characters.next_if(|(_, next)| matches!(next, '"' | '\\')) {
                Some((_, next)) => word.value.push(next),
                None => word.value.push('\\'),
            },
            ':' if quote.is_none() && word.key.is_none() && is_key(&word.value) => {
                word.key = Some(std::mem::take(&mut word.value).to_ascii_lowercase());
            }
            _ => word.value.push(character),
        }
    }
    words.extend(word);
    quote.map_or(Ok(words), |at| Err(OpenQuote(at)))
}

/// Keys are letters only, so that `<m-7@x.example:25>` and `10:02` are plain words.
fn is_key(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|character| character.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &[(Option<&str>, &str, usize)]) {
        let words = split(text).expect("quotes that end");
        let found: Vec<_> = words.iter().map(|word| (word.key.as_deref(), word.value.as_str(), word.at)).collect();
        assert_eq!(found, expected, "{text}");
    }

    #[test]
    fn words_have_keys_values_and_places() {
        check("", &[]);
        check("  ada  state:failed", &[(None, "ada", 2), (Some("state"), "failed", 7)]);
        check("To:ada@x.example", &[(Some("to"), "ada@x.example", 0)]);
        check(r#"subject:"exam moved" x"#, &[(Some("subject"), "exam moved", 0), (None, "x", 21)]);
        check(r#""a \"b\" \\ \c""#, &[(None, r#"a "b" \ \c"#, 0)]);
        check("after:2026-11-29T10:02:00Z", &[(Some("after"), "2026-11-29T10:02:00Z", 0)]);
        check("10:02 \"state:failed\"", &[(None, "10:02", 0), (None, "state:failed", 6)]);
        check("ü to:", &[(None, "ü", 0), (Some("to"), "", 2)]);
        check("\"\"", &[(None, "", 0)]);
    }

    #[test]
    fn a_quote_without_an_end_is_pointed_at() {
        assert_eq!(split("to:a subject:\"exam"), Err(OpenQuote(13)));
        assert_eq!(split(r#"ü "a\""#), Err(OpenQuote(2)));
    }
}
