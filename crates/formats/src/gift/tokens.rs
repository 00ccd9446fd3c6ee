//! A question's characters, each with its line and whether it means something.

use crate::{omitted::BLANKS, rich_text::Format};

/// A character of a question.
#[derive(Clone, Copy)]
pub(super) struct Token {
    pub(super) c: char,
    pub(super) line: usize,
    /// Written with a backslash: it means nothing.
    is_escaped: bool,
}

impl Token {
    /// Whether it is this character, and means what that means.
    pub(super) fn is(self, c: char) -> bool {
        self.c == c && !self.is_escaped
    }

    fn is_blank(self) -> bool {
        BLANKS.contains(&self.c)
    }
}

/// The characters of lines, with escapes resolved. A backslash before another character stays.
pub(super) fn tokens(lines: &[(usize, &str)]) -> Vec<Token> {
    let mut tokens = Vec::new();
    for (nth, (line, text)) in lines.iter().enumerate() {
        let mut put = |c, is_escaped| tokens.push(Token { c, line: *line, is_escaped });
        if nth > 0 {
            put('\n', false);
        }
        let mut chars = text.chars().peekable();
        while let Some(c) = chars.next() {
            let escaped = chars.peek().copied().filter(|next| c == '\\' && "\\:#={}~n".contains(*next));
            match escaped {
                Some(next) => {
                    put(if next == 'n' { '\n' } else { next }, true);
                    chars.next();
                }
                None => put(c, false),
            }
        }
    }
    tokens
}

/// Without white space at both ends.
pub(super) fn trimmed(tokens: &[Token]) -> &[Token] {
    let Some(first) = tokens.iter().position(|token| !token.is_blank()) else { return &[] };
    let last = tokens.iter().rposition(|token| !token.is_blank()).unwrap_or(first);
    &tokens[first..=last]
}

/// Where this character stands first and means something.
pub(super) fn position(tokens: &[Token], c: char) -> Option<usize> {
    tokens.iter().position(|token| token.is(c))
}

/// Where a character stands first so many times in a row.
pub(super) fn position_of_run(tokens: &[Token], c: char, length: usize) -> Option<usize> {
    tokens.windows(length).position(|run| run.iter().all(|token| token.is(c)))
}

/// What stands before this character, and after it if it is there.
pub(super) fn split_at(tokens: &[Token], c: char) -> (&[Token], Option<&[Token]>) {
    match position(tokens, c) {
        Some(at) => (&tokens[..at], Some(&tokens[at + 1..])),
        None => (tokens, None),
    }
}

/// The characters as text.
pub(super) fn text(tokens: &[Token]) -> String {
    tokens.iter().map(|token| token.c).collect()
}

/// The line of the first character.
pub(super) fn line(tokens: &[Token], otherwise: usize) -> usize {
    trimmed(tokens).first().map_or(otherwise, |token| token.line)
}

/// The text after its format in brackets, if it has one.
pub(super) fn with_format(tokens: &[Token], otherwise: Format) -> (Format, String) {
    let text = text(trimmed(tokens));
    for (mark, format) in [
        ("[moodle]", Format::Moodle),
        ("[html]", Format::Html),
        ("[plain]", Format::Plain),
        ("[markdown]", Format::Markdown),
    ] {
        if let Some(rest) = text.strip_prefix(mark) {
            return (format, rest.trim_matches(BLANKS).to_owned());
        }
    }
    (otherwise, text)
}
