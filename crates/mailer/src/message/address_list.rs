//! Parser of address fields: mailboxes with commas between, names, comments and groups (RFC 5322, section 3.4).
//!
//! Each rule that resolves what the RFC leaves open does what nodemailer does.

use std::iter::Peekable;

/// One mailbox of a field, not validated yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) name: Option<String>,
    pub(super) address: String,
}

/// A token of the field.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    /// A word. Quoted and unquoted text without a blank between is one word.
    Word(Word),
    Comment(String),
    /// The content of angle brackets.
    Address(String),
    /// `,` or `;`
    Separator(char),
    /// `:` after the name of a group.
    Colon,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Word {
    /// As it was written.
    raw: String,
    /// Without quotes.
    text: String,
    is_quoted: bool,
}

/// Parses the field.
///
/// # Errors
/// Returns what is wrong with it.
pub(super) fn parse(field: &str) -> Result<Vec<Entry>, String> {
    let mut parser = Parser::default();
    for token in tokens(field)? {
        parser.take(token)?;
    }
    parser.end_entry(None)?;
    match parser.without_address {
        Some(text) => Err(format!("not a mailbox: {text:?} has no address")),
        None => Ok(parser.entries),
    }
}

#[derive(Default)]
struct Parser {
    entries: Vec<Entry>,
    words: Vec<Word>,
    comments: Vec<String>,
    address: Option<String>,
    /// The name of the group whose first member is being read.
    group: Option<String>,
    /// Text before a comma that belongs to the next name: `Doe, Jane <jane@example.com>`.
    without_address: Option<String>,
}

impl Parser {
    fn take(&mut self, token: Token) -> Result<(), String> {
        match token {
            Token::Word(word) => self.words.push(word),
            Token::Comment(comment) => self.comments.push(comment),
            Token::Address(address) if self.address.is_none() => self.address = Some(address),
            Token::Address(_) => return Err("not a mailbox: two addresses without a comma between".to_owned()),
            Token::Separator(separator) => self.end_entry(Some(separator))?,
            Token::Colon => {
                let words: Vec<_> = std::mem::take(&mut self.words).into_iter().map(|word| word.text).collect();
                self.group = Some(words.join(" "));
            }
        }
        Ok(())
    }

    /// Ends an entry at a separator, or at the end of the field.
    fn end_entry(&mut self, separator: Option<char>) -> Result<(), String> {
        let (words, comments) = (std::mem::take(&mut self.words), std::mem::take(&mut self.comments));
        let group = self.group.take();
        let text = |words: &[Word]| words.iter().map(|word| word.text.as_str()).collect::<Vec<_>>().join(" ");
        let (mut name, address) = match self.address.take() {
            Some(address) => (text(&words), address),
            None if words.is_empty() => return Ok(()), // such as `a@x, , b@y`, or an empty group
            None => {
                let Some((address, name)) = bare_address(&words)? else {
                    let before = self.without_address.take().map_or(String::new(), |before| before + ", ");
                    self.without_address = Some(before + &text(&words));
                    return Ok(());
                };
                (text(&name), address)
            }
        };
        if name.is_empty() {
            name = comments.join(" ");
        }
        // A colon without the end of a group belongs to a name.
        if let Some(group) = group.filter(|group| separator.is_none() && !group.is_empty()) {
            name = if name.is_empty() { group } else { format!("{group}: {name}") };
        }
        if let Some(before) = self.without_address.take() {
            if name.is_empty() {
                return Err(format!("not a mailbox: {before:?} has no address"));
            }
            name = format!("{before}, {name}");
        }
        self.entries.push(Entry { name: Some(name).filter(|name| !name.is_empty()), address });
        Ok(())
    }
}

/// Returns the address that stands without angle brackets, and the words around it; `None` if no word has an `@`.
fn bare_address(words: &[Word]) -> Result<Option<(String, Vec<Word>)>, String> {
    let has_at = |word: &&Word| !is_string(word) && word.raw.contains('@');
    match words.iter().filter(has_at).count() {
        0 => Ok(match words {
            // An address in quotes as a whole.
            [word] if word.text.contains('@') => Some((word.text.clone(), Vec::new())),
            _ => None,
        }),
        1 => {
            let (address, name): (Vec<_>, Vec<_>) = words.iter().cloned().partition(|word| has_at(&word));
            Ok(address.into_iter().next().map(|word| (word.raw, name)))
        }
        _ => Err("not a mailbox: two addresses without a comma between".to_owned()),
    }
}

/// Returns whether the whole word is one quoted string.
fn is_string(word: &Word) -> bool {
    word.is_quoted && word.raw.len() >= word.text.len() + 2 && word.raw.ends_with('"') && word.raw.starts_with('"')
}

fn tokens(field: &str) -> Result<Vec<Token>, String> {
    let (mut tokens, mut chars, mut word) = (Vec::new(), field.chars().peekable(), None::<Word>);
    while let Some(next) = chars.next() {
        let token = match next {
            '"' => {
                let word = word.get_or_insert_default();
                word.is_quoted = true;
                quoted(&mut chars, word)?;
                continue;
            }
            '[' => {
                literal(&mut chars, word.get_or_insert_default());
                continue;
            }
            '(' => Some(Token::Comment(comment(&mut chars)?)),
            '<' => Some(Token::Address(angle(&mut chars)?)),
            ',' | ';' => Some(Token::Separator(next)),
            ':' => Some(Token::Colon),
            '>' | ')' => return Err(format!("not a mailbox: {next:?} without its other half")),
            blank if blank.is_whitespace() => None,
            other => {
                let word = word.get_or_insert_default();
                word.raw.push(other);
                word.text.push(other);
                continue;
            }
        };
        tokens.extend(word.take().map(Token::Word));
        tokens.extend(token);
    }
    tokens.extend(word.map(Token::Word));
    Ok(tokens)
}

type Chars<'a> = Peekable<std::str::Chars<'a>>;

/// Reads a quoted string, whose first quote was read.
fn quoted(chars: &mut Chars<'_>, word: &mut Word) -> Result<(), String> {
    word.raw.push('"');
    while let Some(next) = chars.next() {
        word.raw.push(next);
        match next {
            '"' => return Ok(()),
            '\\' => {
                let escaped = chars.next().unwrap_or('\\');
                word.raw.push(escaped);
                word.text.push(escaped);
            }
            other => word.text.push(other),
        }
    }
    Err("not a mailbox: a quote is not closed".to_owned())
}

/// Reads the rest of a domain literal, such as `[IPv6:::1]`.
fn literal(chars: &mut Chars<'_>, word: &mut Word) {
    let mut rest = "[".to_owned();
    while let Some(next) = chars.next_if(|next| !next.is_whitespace()) {
        rest.push(next);
        if next == ']' {
            break;
        }
    }
    word.raw.push_str(&rest);
    word.text.push_str(&rest);
}

/// Reads a comment, which may contain others.
fn comment(chars: &mut Chars<'_>) -> Result<String, String> {
    let (mut text, mut depth) = (String::new(), 1);
    while let Some(next) = chars.next() {
        match next {
            '\\' => {
                text.extend(chars.next());
                continue;
            }
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Ok(text.trim().to_owned());
        }
        text.push(next);
    }
    Err("not a mailbox: a comment is not closed".to_owned())
}

/// Reads an address in angle brackets. A quoted local part may hold a bracket.
fn angle(chars: &mut Chars<'_>) -> Result<String, String> {
    let mut address = Word::default();
    while let Some(next) = chars.next() {
        match next {
            '>' => return Ok(address.raw.trim().to_owned()),
            '"' => quoted(chars, &mut address)?,
            '<' => break,
            other => address.raw.push(other),
        }
    }
    Err("not a mailbox: an angle bracket is not closed".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(field: &str) -> Vec<(String, String)> {
        let entries = parse(field).expect("a list of mailboxes");
        entries.into_iter().map(|entry| (entry.name.unwrap_or_default(), entry.address)).collect()
    }

    #[test]
    fn names_comments_groups_and_lists_are_parsed() {
        let one = |field: &str, name: &str, address: &str| {
            assert_eq!(parsed(field), [(name.to_owned(), address.to_owned())], "{field}");
        };
        one("ada@x.example", "", "ada@x.example");
        one(" <ada@x.example> ", "", "ada@x.example");
        one("Ada Lovelace <ada@x.example>", "Ada Lovelace", "ada@x.example");
        one("\"Lovelace, \\\"Ada\\\"\" <ada@x.example>", "Lovelace, \"Ada\"", "ada@x.example");
        one("ada@x.example (Ada (L.))", "Ada (L.)", "ada@x.example");
        one("Support (Billing) <s@x.example>", "Support", "s@x.example");
        one("(Billing) <s@x.example>", "Billing", "s@x.example");
        one("Doe, Jane <jane@x.example>", "Doe, Jane", "jane@x.example");
        one("jane@work <jane@x.example>", "jane@work", "jane@x.example");
        one("Dr. Smith: Chief <c@x.example>", "Dr. Smith: Chief", "c@x.example");
        one("Jane jane@x.example", "Jane", "jane@x.example");
        one("\"jane@x.example\"", "", "jane@x.example");
        one("\"jane doe\"@x.example", "", "\"jane doe\"@x.example");
        one("\"v@other.example x\"@x.example", "", "\"v@other.example x\"@x.example");
        one("<\"a>b\"@x.example>", "", "\"a>b\"@x.example");
        one("ada@[IPv6:::1]", "", "ada@[IPv6:::1]");
        let both = [(String::new(), "a@x.example".to_owned()), ("B".to_owned(), "b@y.example".to_owned())];
        for field in [
            "a@x.example, B <b@y.example>",
            "a@x.example;B <b@y.example>;",
            ", a@x.example,, B <b@y.example> ,",
            "Team: a@x.example, B <b@y.example>;",
            "Team:a@x.example;, Other: b@y.example (B);",
        ] {
            assert_eq!(parsed(field), both, "{field}");
        }
        assert_eq!(parsed("undisclosed-recipients:;"), []);
        assert_eq!(parsed(""), []);
    }

    #[test]
    fn what_has_no_single_meaning_is_refused() {
        for field in [
            "ada",
            "bob, ada@x.example",
            "ada@x.example bob@x.example",
            "<a@x.example> <b@x.example>",
            "Ada <ada@x.example",
            "Ada ada@x.example>",
            "\"Ada <ada@x.example>",
            "ada@x.example (Ada",
            "ada@x.example, Bob",
        ] {
            assert!(parse(field).is_err_and(|error| error.starts_with("not a mailbox: ")), "{field}");
        }
    }
}
