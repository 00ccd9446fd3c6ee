//! Parser of SMTP replies (RFC 5321, section 4.2), fed with parts of any size.
//!
//! Lenient, since what a server means is nearly always clear: the first digit decides (section 4.2.1), so 571 is a 5yz and
//! 260 a 2yz; a line may end with LF alone, have no text, or bytes that are not UTF-8. Long replies are read to their end,
//! of which only the start is kept.

use super::reply::Reply;

/// Bytes of a line that are kept. RFC 5321 (section 4.5.3.1.5) allows 512.
const KEPT_OF_LINE: usize = 2_000;
/// Bytes of a reply that are kept.
const KEPT: usize = 64_000;
/// Longest reply; what follows is not read.
const LONGEST: usize = 1_000_000;

/// A reply that is being received.
#[derive(Debug, Default)]
pub(super) struct ReplyParser {
    /// The current line, as far as it is kept.
    line: Vec<u8>,
    /// The lines before it, without their codes.
    text: String,
    codes: Option<Codes>,
    length: usize,
}

/// Why the bytes are no reply: what there is of it.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

/// The codes of a reply's lines, which should all be the same.
#[derive(Clone, Copy, Debug)]
struct Codes {
    code: u16,
    is_contradictory: bool,
}

impl ReplyParser {
    /// Adds a part; returns the reply if it ends in it, and the number of bytes that belong to the reply.
    ///
    /// # Errors
    /// Returns [`Malformed`] if the reply does not begin with a code of 200 to 599, or is too long.
    pub(super) fn push(&mut self, part: &[u8]) -> Result<(Option<Reply>, usize), Malformed> {
        for (at, byte) in part.iter().enumerate() {
            match byte {
                b'\n' => {
                    if let Some(reply) = self.end_line()? {
                        return Ok((Some(reply), at + 1));
                    }
                }
                _ if self.line.len() < KEPT_OF_LINE => self.line.push(*byte),
                _ => {}
            }
            self.length += 1;
            if self.length > LONGEST {
                return Err(self.malformed());
            }
        }
        Ok((None, part.len()))
    }

    /// Ends a reply whose last line has no line end, since the connection is closed; `None` if nothing was received.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub(super) fn end(mut self) -> Result<Option<Reply>, Malformed> {
        if self.line.is_empty() { Ok(None) } else { self.end_line() }
    }

    /// Ends a line; returns the reply if it is the last one.
    fn end_line(&mut self) -> Result<Option<Reply>, Malformed> {
        let line = String::from_utf8_lossy(&self.line);
        let line = line.strip_suffix('\r').unwrap_or(&line);
        let Some((code, ends, text)) = parse_line(line) else {
            if self.codes.is_none() {
                return Err(self.malformed());
            }
            // A line without a code in a longer reply: a part of its text, as for other clients.
            let line = line.to_owned();
            self.keep(&line);
            return Ok(None);
        };
        let text = text.to_owned();
        let codes = self.codes.map_or(Codes { code, is_contradictory: false }, |before| before.and(code));
        self.codes = Some(codes);
        self.keep(&text);
        Ok(ends.then(|| Reply::from_lines(codes.code, codes.is_contradictory, std::mem::take(&mut self.text))))
    }

    fn keep(&mut self, text: &str) {
        self.line.clear();
        if self.text.len() + text.len() < KEPT {
            if !self.text.is_empty() {
                self.text.push('\n');
            }
            // Text of a server must not control the terminal that shows it.
            self.text.extend(text.chars().map(|c| if c.is_control() { ' ' } else { c }));
        }
    }

    fn malformed(&self) -> Malformed {
        let line = String::from_utf8_lossy(&self.line);
        let all = self.text.lines().chain([&*line]).collect::<Vec<_>>().join(" ");
        let shown = all.chars().map(|c| if c.is_control() { ' ' } else { c }).take(200).collect::<String>();
        Malformed(shown.trim().to_owned())
    }
}

impl Codes {
    /// The codes with one more. Lines that differ in their first digit contradict each other, unless all refuse: then the
    /// less final one counts.
    fn and(self, code: u16) -> Self {
        let code = match (self.code / 100, code / 100) {
            (4, 5) => self.code,
            _ => code,
        };
        let refuses = |code: u16| matches!(code / 100, 4 | 5);
        let agrees = self.code / 100 == code / 100 || (refuses(self.code) && refuses(code));
        Self { code, is_contradictory: self.is_contradictory || !agrees }
    }
}

/// Splits a line into its code, whether it is the last one, and its text.
fn parse_line(line: &str) -> Option<(u16, bool, &str)> {
    let (digits, rest) = line.split_at_checked(3)?;
    let code = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    if !(200..=599).contains(&code) || rest.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let goes_on = rest.strip_prefix('-');
    let text = goes_on.unwrap_or(rest.strip_prefix([' ', '\t']).unwrap_or(rest));
    Some((code, goes_on.is_none(), text.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parses a reply that comes in parts of this size.
    fn parse_in_parts(said: &[u8], size: usize) -> Result<(Option<Reply>, usize), Malformed> {
        let (mut parser, mut used) = (ReplyParser::default(), 0);
        for part in said.chunks(size) {
            let (reply, length) = parser.push(part)?;
            used += length;
            if reply.is_some() {
                return Ok((reply, used));
            }
        }
        Ok((parser.end()?, used))
    }

    fn parse(said: impl AsRef<[u8]>) -> Result<Option<Reply>, Malformed> {
        let whole = parse_in_parts(said.as_ref(), usize::MAX);
        assert_eq!(whole, parse_in_parts(said.as_ref(), 1), "parts make no difference");
        whole.map(|(reply, _)| reply)
    }

    fn reply(said: impl AsRef<[u8]>) -> Reply {
        parse(said).expect("well-formed").expect("whole")
    }

    #[test]
    fn first_digit_decides() {
        for code in (200..600).filter(|code| code / 100 != 3) {
            let said = reply(format!("{code} x\r\n"));
            let class = (said.is_done(), said.is_refusal(), said.is_final());
            assert_eq!(class, (code < 300, code >= 400, code >= 500), "{code}");
        }
        assert!(reply("354 x\r\n").is_go_on() && reply("399 x\r\n").is_go_on());
    }

    #[test]
    fn unusual_replies_are_understood() {
        for (said, code, text) in [
            (&b"250 ok\r\n"[..], 250, "ok"),
            (b"250 ok\n", 250, "ok"),
            (b"250 ok", 250, "ok"),
            (b"250\r\n", 250, ""),
            (b"250 \r\n", 250, ""),
            (b"250\tok\r\n", 250, "ok"),
            (b"250ok\r\n", 250, "ok"),
            (b"250-one\r\n250 two\r\n", 250, "one\ntwo"),
            (b"250-one\r\n250-\r\n250\r\n", 250, "one"),
            (b"250-one\n251 two\n", 251, "one\ntwo"),
            (b"550-one\r\nno code\r\n550 two\r\n", 550, "one\nno code\ntwo"),
            (b"550 \xff\xfe caf\xe9\r\n", 550, "\u{fffd}\u{fffd} caf\u{fffd}"),
            (b"550 a\x1b]0;pwned\x07b\0c\rd\r\n", 550, "a ]0;pwned b c d"),
            (b"550-5.1.1 The address\r\n550 5.1.1 does not exist\r\n", 550, "5.1.1 The address\ndoes not exist"),
        ] {
            let known = reply(said);
            assert_eq!((known.code, known.lines().collect::<Vec<_>>().join("\n").trim_end()), (code, text));
        }
    }

    #[test]
    fn what_has_no_code_is_malformed() {
        for said in [
            "hello\r\n",
            "\r\n",
            "25\r\n",
            "2x0 ok\r\n",
            "2500 ok\r\n",
            "150 wait\r\n",
            "000 x\r\n",
            "600 x\r\n",
            "+OK\r\n",
        ] {
            assert!(parse(said).is_err(), "{said:?}");
        }
        assert_eq!(parse("hel\u{7}lo\r\n"), Err(Malformed("hel lo".into())));
        assert_eq!(parse(""), Ok(None));
        assert_eq!(parse("250-one\r\n"), Ok(None), "not whole");
    }

    #[test]
    fn lines_with_different_codes() {
        for (said, code, is_contradictory) in [
            ("250-one\r\n251 two\r\n", 251, false),
            ("550-one\r\n554 two\r\n", 554, false),
            ("550-one\r\n450 two\r\n", 450, false),
            ("450-one\r\n550 two\r\n", 450, false),
            ("220-mail.example\r\n521 blocked\r\n", 521, true),
            ("250-one\r\n451 two\r\n", 451, true),
            ("550-one\r\n250 two\r\n", 250, true),
            ("550-one\r\n250-two\r\n550 three\r\n", 550, true),
            ("354-one\r\n250 two\r\n", 250, true),
        ] {
            let known = reply(said);
            assert_eq!((known.code, known.is_contradictory), (code, is_contradictory), "{said:?}");
            assert!(!known.is_final() || !is_contradictory, "{said:?}");
        }
    }

    #[test]
    fn only_the_start_of_a_long_reply_is_kept() {
        let long = reply(format!("550 {}\r\n", "x".repeat(200_000)));
        assert_eq!((long.code, long.is_final(), long.text.len() <= KEPT_OF_LINE), (550, true, true));
        let many = reply(format!("{}571 end\r\n", "571-a line of a long reply\r\n".repeat(10_000)));
        assert_eq!((many.code, many.text.len() <= KEPT), (571, true));
        assert!(many.to_string().len() <= 1_100, "{}", many.to_string().len());
        assert!(parse("550-x\r\n".repeat(200_000)).is_err(), "it never ends");
        assert!(parse("x".repeat(2_000_000)).is_err(), "nor does this line");
    }

    #[test]
    fn next_reply_is_not_touched() {
        let said = b"250-one\r\n250 two\r\n550 next\r\n";
        assert_eq!(parse_in_parts(said, usize::MAX).expect("well-formed").1, said.len() - "550 next\r\n".len());
    }
}
