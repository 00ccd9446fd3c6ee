//! The language in which operators search for mails: `to:ada@example.com state:failed reason:"no such user"`.

mod state;
mod words;

use std::{fmt, time::Duration};

pub use self::state::MailState;
use self::words::{OpenQuote, Word, split};
use crate::{EmailAddress, MailClass, Timestamp};

/// Which mails are wanted: those that fulfil every term. A query without a term means all.
///
/// ```
/// use examhall_core::{MailQuery, MailState, Timestamp};
///
/// let now = Timestamp::from_millis(1_795_424_400_000);
/// let query = MailQuery::parse("to:Ada@Example.com state:failed after:2h", now)?;
/// assert_eq!(query.state, Some(MailState::Failed));
/// assert!(query.to.is_some_and(|to| to.is_met_by("Ada <ada@example.com>")));
/// # Ok::<(), examhall_core::BadMailQuery>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MailQuery {
    /// `to:`, who gets it, a copy included.
    pub to: Option<WantedRecipient>,
    /// `id:`, its job.
    pub id: Option<String>,
    /// `msgid:`, its `Message-ID`, without `<>`.
    pub message_id: Option<String>,
    /// `subject:`, a part of its subject, whatever the case.
    pub subject: Option<String>,
    /// `class:`, the kind of mail.
    pub class: Option<MailClass>,
    /// `reason:`, a part of why it failed, whatever the case.
    pub reason: Option<String>,
    /// `state:`.
    pub state: Option<MailState>,
    /// `before:`, added earlier than that.
    pub before: Option<Timestamp>,
    /// `after:`, added then or later.
    pub after: Option<Timestamp>,
    /// Words without a key, joined: a part of recipient, subject or reason.
    pub text: Option<String>,
}

/// Recipients that are wanted.
#[derive(Clone, PartialEq, Eq)]
pub enum WantedRecipient {
    /// One mailbox, in its canonical form.
    Address(String),
    /// A part of an address, in lower case: `@example.com`, `ada`.
    Part(String),
}

/// Why a text is no query, and where, in characters from 0.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("at character {}, `{word}`: {fault}", at + 1)]
pub struct BadMailQuery {
    /// Where the word begins that is wrong.
    pub at: usize,
    /// The word.
    pub word: String,
    fault: Fault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    UnknownKey,
    Twice,
    Empty,
    OpenQuote,
    State,
    Class,
    Time,
    TooLong,
}

impl MailQuery {
    /// Longest query, in characters.
    pub const MAX: usize = 500;
    /// What a word can begin with.
    pub const KEYS: [&str; 9] = ["to", "id", "msgid", "subject", "class", "reason", "state", "before", "after"];

    /// Parses a query. Times are RFC 3339, days (`2026-11-29`, from its beginning in UTC), or ages (`90m`, `2h`, `3d`)
    /// before `now`.
    ///
    /// A word without a key that is an address means `to:`, the id of a mail from the outbox `id:`, and one in `<>`
    /// `msgid:`.
    ///
    /// # Errors
    /// Returns [`BadMailQuery`], which points at the first word that is wrong.
    pub fn parse(text: &str, now: Timestamp) -> Result<Self, BadMailQuery> {
        if let Some((at, _)) = text.chars().enumerate().nth(Self::MAX) {
            return Err(BadMailQuery { at, word: text.chars().skip(at).take(20).collect(), fault: Fault::TooLong });
        }
        let words = split(text).map_err(|OpenQuote(at)| BadMailQuery {
            at,
            word: text.chars().skip(at).collect(),
            fault: Fault::OpenQuote,
        })?;
        let mut query = Self::default();
        for word in &words {
            query.add(word, now).map_err(|fault| BadMailQuery { at: word.at, word: word.to_string(), fault })?;
        }
        Ok(query)
    }

    fn add(&mut self, word: &Word, now: Timestamp) -> Result<(), Fault> {
        let value = word.value.trim();
        if value.is_empty() {
            return if word.key.is_some() { Err(Fault::Empty) } else { Ok(()) };
        }
        match word.key.as_deref().or_else(|| key_of(value)) {
            Some("to") => set(&mut self.to, WantedRecipient::of(value)),
            Some("id") => set(&mut self.id, value.to_owned()),
            Some("msgid") => set(&mut self.message_id, bare(value).to_owned()),
            Some("subject") => set(&mut self.subject, value.to_owned()),
            Some("class") => set(&mut self.class, class(value)?),
            Some("reason") => set(&mut self.reason, value.to_owned()),
            Some("state") => set(&mut self.state, value.parse().map_err(|()| Fault::State)?),
            Some("before") => set(&mut self.before, time(value, now)?),
            Some("after") => set(&mut self.after, time(value, now)?),
            Some(_) => Err(Fault::UnknownKey),
            None => {
                let text = self.text.get_or_insert_default();
                text.push_str(if text.is_empty() { "" } else { " " });
                text.push_str(value);
                Ok(())
            }
        }
    }

    /// Returns whether every mail is wanted.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl WantedRecipient {
    /// One mailbox if the text is an address, else every address that contains it.
    pub fn of(text: &str) -> Self {
        match EmailAddress::parse(text) {
            Ok(address) => Self::Address(address.canonical()),
            Err(_) => Self::Part(text.to_lowercase()),
        }
    }

    /// Returns a text that every spelling of a wanted recipient contains, but for the case of its letters: a domain may be
    /// written in Unicode or in ASCII.
    pub fn needle(&self) -> String {
        match self {
            Self::Address(address) if address.contains("@xn--") || address.contains(".xn--") => {
                address.split_inclusive('@').next().unwrap_or_default().to_owned()
            }
            Self::Address(text) | Self::Part(text) => text.clone(),
        }
    }

    /// Returns whether one recipient, `local@domain` or `Name <local@domain>`, is wanted.
    pub fn is_met_by(&self, recipient: &str) -> bool {
        match self {
            Self::Address(wanted) => {
                addresses(recipient).any(|one| EmailAddress::from_stored(one).canonical() == *wanted)
            }
            Self::Part(part) => recipient.to_lowercase().contains(part),
        }
    }
}

/// Returns the addresses of a field: what is in `<>`, or all of it, between commas.
fn addresses(field: &str) -> impl Iterator<Item = &str> {
    field
        .split(',')
        .map(|one| one.rsplit_once('<').map_or(one, |(_, address)| address).trim_end_matches([' ', '>']).trim())
}

/// Returns the key that a word without one means.
fn key_of(value: &str) -> Option<&'static str> {
    if value.starts_with('<') && value.ends_with('>') {
        Some("msgid")
    } else if crate::EmailJob::is_of_outbox(value) {
        Some("id")
    } else if EmailAddress::parse(value).is_ok() {
        Some("to")
    } else {
        None
    }
}

fn set<T>(field: &mut Option<T>, value: T) -> Result<(), Fault> {
    if field.replace(value).is_some() { Err(Fault::Twice) } else { Ok(()) }
}

fn bare(message_id: &str) -> &str {
    message_id.trim_start_matches('<').trim_end_matches('>')
}

fn class(word: &str) -> Result<MailClass, Fault> {
    let word = word.to_ascii_lowercase();
    let class = MailClass::from_word(&word);
    if class.as_str() == word { Ok(class) } else { Err(Fault::Class) }
}

fn time(text: &str, now: Timestamp) -> Result<Timestamp, Fault> {
    let is_day = text.len() == 10 && !text.contains(':');
    let full = if is_day { format!("{text}T00:00:00Z") } else { text.to_ascii_uppercase() };
    full.parse().ok().or_else(|| Some(now.minus(age(text)?))).ok_or(Fault::Time)
}

/// Reads an age: `30s`, `90m`, `2h`, `3d`, `1w`.
fn age(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 24 * 3600,
        "w" => 7 * 24 * 3600,
        _ => return None,
    };
    number.parse::<u32>().ok().map(|number| Duration::from_secs(u64::from(number) * seconds))
}

/// Addresses do not belong in logs.
impl fmt::Debug for WantedRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Address(_)) {
            "WantedRecipient::Address(…)"
        } else {
            "WantedRecipient::Part(…)"
        })
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(key) = &self.key {
            write!(f, "{key}:")?;
        }
        f.write_str(&self.value)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownKey => {
                write!(f, "no such key; use one of {}:, or quotes", MailQuery::KEYS.join(":, "))
            }
            Self::Twice => f.write_str("this key is there twice"),
            Self::Empty => f.write_str("a value must follow"),
            Self::OpenQuote => f.write_str("the quote does not end"),
            Self::State => {
                write!(f, "a state is one of {}", MailState::ALL.map(MailState::as_str).join(", "))
            }
            Self::Class => f.write_str("a class is one of verification, reset, result, invitation, other"),
            Self::Time => f.write_str("a time is like 2026-11-29T10:02:00Z, 2026-11-29 or 2h (ago)"),
            Self::TooLong => write!(f, "a query has at most {} characters", MailQuery::MAX),
        }
    }
}

#[cfg(test)]
mod tests;
