//! An entry of the suppression list, and the JSON that the list holds.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// An address on the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// The address.
    pub address: String,
    /// Why no mail goes to it, in words.
    pub reason: String,
    /// Why; unknown of entries that an older version made.
    pub cause: Option<SuppressionCause>,
    /// Mail server or provider that said so.
    pub source: Option<String>,
    /// Job of the mail that was the cause.
    pub job_id: Option<String>,
    /// Time at which it was added, in ms since 1970.
    pub since: i64,
    /// Time at which the cause was met last, in ms since 1970.
    pub seen: i64,
    /// Time at which it ends, in ms since 1970; an operator's entry does not end.
    pub until: Option<i64>,
    /// Whether it stops no mail until an operator confirms it.
    pub is_held: bool,
}

/// Why an address is suppressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SuppressionCause {
    /// A server refused it: it does not exist, or its mailbox is permanently full.
    Refused,
    /// A mail that had been accepted came back: it does not exist.
    Bounced,
    /// Its owner has reported a mail as spam.
    Complained,
    /// An operator decided so.
    Operator,
}

impl SuppressionCause {
    /// The word in JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::Bounced => "bounced",
            Self::Complained => "complained",
            Self::Operator => "operator",
        }
    }
}

impl Suppression {
    /// Returns whether it stops mails `now`, in ms since 1970.
    pub fn is_in_force(&self, now: i64) -> bool {
        !self.is_held && !self.has_ended(now)
    }

    /// Returns whether its time is over.
    pub fn has_ended(&self, now: i64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// A new field's value in the hash, without its times.
#[derive(Serialize)]
pub(super) struct New<'a> {
    pub(super) reason: &'a str,
    pub(super) cause: SuppressionCause,
    pub(super) source: &'a str,
    /// Job of the mail that was the cause.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub(super) mail: &'a str,
}

/// A field's value in the hash.
#[derive(Default, Deserialize)]
pub(super) struct Stored {
    reason: String,
    pub(super) since: i64,
    #[serde(default)]
    pub(super) seen: Option<i64>,
    #[serde(default)]
    pub(super) cause: Option<SuppressionCause>,
    #[serde(default)]
    source: Option<String>,
    #[serde(default)]
    mail: Option<String>,
    #[serde(default)]
    held: bool,
}

/// Reads an entry. One that cannot be understood still suppresses.
pub(super) fn read(address: &str, text: &str, lifetime: Duration) -> Suppression {
    let unknown = || Stored { reason: "unknown".to_owned(), ..Stored::default() };
    let stored: Stored = serde_json::from_str(text).unwrap_or_else(|_| unknown());
    Suppression {
        address: address.to_owned(),
        until: stored.ends_at(lifetime),
        seen: stored.seen.unwrap_or(stored.since),
        reason: stored.reason,
        cause: stored.cause,
        source: stored.source.filter(|source| !source.is_empty()),
        job_id: stored.mail,
        since: stored.since,
        is_held: stored.held,
    }
}

impl Stored {
    fn ends_at(&self, lifetime: Duration) -> Option<i64> {
        let lifetime = i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX);
        let is_automatic = !matches!(self.cause, None | Some(SuppressionCause::Operator));
        is_automatic.then(|| self.seen.unwrap_or(self.since).saturating_add(lifetime))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, until: Option<i64>, is_held: bool) {
        let read = read("ada@x.example", text, Duration::from_millis(100));
        assert_eq!((read.until, read.is_held), (until, is_held), "{text}");
    }

    #[test]
    fn entries_end_unless_an_operator_made_them() {
        check(r#"{"reason":"x","since":7,"cause":"refused"}"#, Some(107), false);
        check(r#"{"reason":"x","since":7,"seen":50,"cause":"bounced","held":true}"#, Some(150), true);
        check(r#"{"reason":"x","since":7,"cause":"complained","source":"ses"}"#, Some(107), false);
        check(r#"{"reason":"x","since":7,"cause":"operator"}"#, None, false);
        check(r#"{"reason":"x","since":7}"#, None, false);
        check(r#"{"reason":"x","since":7,"cause":"of a later version"}"#, None, false);
        check("rubbish", None, false);
    }

    #[test]
    fn held_or_ended_entries_stop_no_mail() {
        let at = |text| read("ada@x.example", text, Duration::from_millis(100));
        assert!(at(r#"{"reason":"x","since":7,"cause":"refused"}"#).is_in_force(106));
        assert!(!at(r#"{"reason":"x","since":7,"cause":"refused"}"#).is_in_force(107));
        assert!(!at(r#"{"reason":"x","since":7,"cause":"refused","held":true}"#).is_in_force(8));
    }
}
