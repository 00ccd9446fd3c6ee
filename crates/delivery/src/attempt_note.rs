//! A line in a job's log: an attempt that no server accepted, in the server's own words.

use std::{fmt, str::FromStr};

use examhall_core::Timestamp;

/// Longest words of a server that are kept, in characters.
const LONGEST: usize = 500;

/// An attempt that did not end with a server that accepted the mail.
///
/// ```
/// use examhall_delivery::AttemptNote;
///
/// let line = "2026-11-29T10:02:00.000Z attempt 2 at mail.example.com:25, 120 ms: 451 4.7.1 try later";
/// let note: AttemptNote = line.parse().expect("a note");
/// assert_eq!((note.attempt, note.ms, note.reason.as_str()), (2, 120, "451 4.7.1 try later"));
/// assert_eq!(note.to_string(), line);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttemptNote {
    /// When it ended.
    pub at: Timestamp,
    /// Its number, from 1. Attempts that were deferred without being counted share one.
    pub attempt: u32,
    /// The server; empty if none was reached.
    pub provider: String,
    /// How long it took.
    pub ms: u64,
    /// The server's own words, or what failed.
    pub reason: String,
}

/// A line is not an [`AttemptNote`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a note of an attempt")]
pub struct NotAnAttempt;

impl fmt::Display for AttemptNote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, attempt, provider, ms, reason } = self;
        let provider = if provider.is_empty() { "no server" } else { provider };
        let reason = reason.split_whitespace().collect::<Vec<_>>().join(" ");
        let reason: String = reason.chars().take(LONGEST).collect();
        write!(f, "{at} attempt {attempt} at {provider}, {ms} ms: {reason}")
    }
}

impl FromStr for AttemptNote {
    type Err = NotAnAttempt;

    fn from_str(line: &str) -> Result<Self, NotAnAttempt> {
        let read = || {
            let (at, rest) = line.split_once(" attempt ")?;
            let (attempt, rest) = rest.split_once(" at ")?;
            let (provider, rest) = rest.split_once(", ")?;
            let (ms, reason) = rest.split_once(" ms: ")?;
            let provider = if provider == "no server" { "" } else { provider };
            Some(Self {
                at: at.parse().ok()?,
                attempt: attempt.parse().ok()?,
                provider: provider.to_owned(),
                ms: ms.parse().ok()?,
                reason: reason.to_owned(),
            })
        };
        read().ok_or(NotAnAttempt)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_are_read_as_they_are_written() {
        for (provider, reason) in [("mail.example.com:25", "451 4.7.1 a, b at c, 7 ms: x"), ("", "connection refused")]
        {
            let note = AttemptNote {
                at: Timestamp::from_millis(1_795_424_400_000),
                attempt: 3,
                provider: provider.to_owned(),
                ms: 7,
                reason: reason.to_owned(),
            };
            assert_eq!(note.to_string().parse(), Ok(note));
        }
        for line in ["", "possible_duplicate: sent again", "now attempt 1 at x, 7 ms: y"] {
            assert_eq!(line.parse::<AttemptNote>(), Err(NotAnAttempt), "{line}");
        }
    }

    #[test]
    fn words_of_servers_become_one_line() {
        let note = AttemptNote {
            at: Timestamp::from_millis(0),
            attempt: 1,
            provider: "x".to_owned(),
            ms: 0,
            reason: format!("451 a\r\n b {}", "c".repeat(600)),
        };
        let line = note.to_string();
        assert!(line.contains(": 451 a b c") && !line.contains('\n') && line.len() < 600);
    }
}
