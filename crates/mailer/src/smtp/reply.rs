//! SMTP replies: a basic code (RFC 5321, section 4.2) and often an enhanced one (RFC 3463).

use std::fmt::Write;

/// Characters of a reply's text that are shown and stored.
const SHOWN: usize = 1_000;

/// One reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    /// The basic code, 200 to 599; only its first digit has a meaning of its own (RFC 5321, section 4.2.1).
    pub(crate) code: u16,
    /// The enhanced code, if there is one.
    pub(crate) enhanced: Option<Enhanced>,
    /// The server's own text, enhanced code included; lines are separated by LF.
    pub(crate) text: String,
    /// Whether its lines differ in what they say: the last one decides, but nothing final follows from it.
    pub(crate) is_contradictory: bool,
}

/// `class.subject.detail`, such as 5.1.1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Enhanced {
    pub(crate) class: u8,
    pub(crate) subject: u16,
    pub(crate) detail: u16,
}

impl Reply {
    /// A reply of one or more lines; the enhanced code is that of the first line that has one.
    pub(super) fn from_lines(code: u16, is_contradictory: bool, text: String) -> Self {
        let first = |line: &str| line.split_whitespace().next().map(ToOwned::to_owned);
        let found = text.lines().find_map(|line| first(line).and_then(|word| Some((Enhanced::parse(&word)?, word))));
        let Some((enhanced, word)) = found else { return Self { code, enhanced: None, text, is_contradictory } };
        // Each line has the code, which is shown once.
        let text = match text.split_once('\n') {
            Some((line, rest)) if line.starts_with(&word) => {
                let rest = rest.lines().map(|line| line.strip_prefix(&word).unwrap_or(line).trim_start());
                [line].into_iter().chain(rest).collect::<Vec<_>>().join("\n")
            }
            _ => text,
        };
        Self { code, enhanced: Some(enhanced), text, is_contradictory }
    }

    /// The lines of the text.
    pub(super) fn lines(&self) -> impl Iterator<Item = &str> {
        self.text.lines()
    }

    /// Returns whether the command succeeded (2yz).
    pub(crate) fn is_done(&self) -> bool {
        self.code / 100 == 2
    }

    /// Returns whether the server waits for more (3yz).
    pub(crate) fn is_go_on(&self) -> bool {
        self.code / 100 == 3
    }

    /// Returns whether the command was refused, temporarily or permanently (4yz, 5yz).
    pub(crate) fn is_refusal(&self) -> bool {
        matches!(self.code / 100, 4 | 5)
    }

    /// Returns whether the refusal is permanent. If codes contradict each other, it is not.
    pub(crate) fn is_final(&self) -> bool {
        self.code / 100 == 5 && !self.is_contradictory && self.enhanced.is_none_or(|enhanced| enhanced.class == 5)
    }

    /// Returns whether the server closes the connection: 421, after any command (RFC 5321, section 3.8).
    pub(crate) fn closes(&self) -> bool {
        self.code == 421
    }

    /// Both codes, without the text.
    pub(crate) fn codes(&self) -> String {
        match self.enhanced {
            Some(enhanced) => format!("{} {enhanced}", self.code),
            None => self.code.to_string(),
        }
    }

    /// Subject and detail of the enhanced code, if it agrees with the basic one.
    pub(crate) fn detail(&self) -> Option<(u16, u16)> {
        let agrees = |enhanced: &Enhanced| u16::from(enhanced.class) == self.code / 100;
        self.enhanced.filter(agrees).map(|enhanced| (enhanced.subject, enhanced.detail))
    }
}

/// In one line.
impl std::fmt::Display for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ", self.code)?;
        self.text.chars().take(SHOWN).try_for_each(|c| f.write_char(if c == '\n' { ' ' } else { c }))
    }
}

impl std::fmt::Display for Enhanced {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

impl Enhanced {
    /// Parses a word, also as some servers write it: `#5.1.0`, `5.1.1:`.
    fn parse(word: &str) -> Option<Self> {
        let word = word.trim_start_matches(['#', '(', '[']).trim_end_matches([':', ',', ';', '.', ')', ']']);
        let mut parts = word.splitn(3, '.');
        let class = parts.next()?.parse().ok().filter(|class| matches!(class, 2 | 4 | 5))?;
        let mut number = || parts.next()?.parse().ok().filter(|number| *number <= 999);
        Some(Self { class, subject: number()?, detail: number()? })
    }
}

#[cfg(test)]
impl Reply {
    /// A reply of one line.
    pub(super) fn new(code: u16, text: &str) -> Self {
        Self::from_lines(code, false, text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enhanced_code_is_read_from_the_first_word() {
        assert_eq!(Reply::new(550, "5.1.1 no such user").detail(), Some((1, 1)));
        assert_eq!(Reply::new(556, "5.1.10 null MX").detail(), Some((1, 10)));
        assert_eq!(Reply::new(550, "#5.1.0 refused").detail(), Some((1, 0)));
        assert_eq!(Reply::new(550, "5.1.1: refused").detail(), Some((1, 1)));
        assert_eq!(Reply::new(550, "first\n5.7.1 second").detail(), Some((7, 1)), "of the first line that has one");
        for text in ["no such user", "", "5.1 x", "5.1.x y", "3.1.1 x", "5.1.1.1 x", "55.1.1 x"] {
            assert_eq!(Reply::new(550, text).detail(), None, "{text:?}");
        }
    }

    #[test]
    fn contradicting_codes_are_not_final() {
        assert!(Reply::new(550, "5.1.1 x").is_final() && Reply::new(550, "x").is_final());
        for less_final in [Reply::new(550, "4.2.0 x"), Reply::new(450, "5.1.1 x"), Reply::new(450, "x")] {
            assert!(!less_final.is_final() && less_final.is_refusal(), "{less_final}");
        }
        assert_eq!(Reply::new(450, "5.1.1 x").detail(), None, "a contradicting code is ignored");
    }
}
