//! What is reported of a mail that was accepted.

use serde::{Deserialize, Serialize};

/// A report by a provider or a mail server. Several recipients share its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Names of the mail, the best one first: `Message-ID`s with or without `<>`, or ids that a provider has given it.
    pub names: Vec<String>,
    /// Addresses that it concerns. If there are none, the mail's only recipient.
    pub recipients: Vec<String>,
    /// What is reported.
    pub kind: ReportKind,
    /// The reason in the reporter's words.
    pub reason: String,
    /// Who reports: a provider, or the kind of mailbox.
    pub source: &'static str,
    /// Time of the report, in ms since 1970.
    pub at: i64,
    /// Whether the reporter has proven who it is. Others are believed only of recipients of mails that the ledger knows.
    pub is_trusted: bool,
}

/// What is reported.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReportKind {
    /// The mail came back, since the address does not exist.
    HardBounce,
    /// The mail came back for another reason: a full mailbox, a policy, an outage.
    SoftBounce,
    /// The recipient has reported the mail as spam.
    Complaint,
}

/// What was reported of one recipient, as the ledger keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecipientReport {
    /// What was reported.
    pub kind: ReportKind,
    /// The address.
    pub recipient: String,
    /// The reason in the reporter's words.
    pub reason: String,
    /// Who reported.
    pub source: String,
    /// When, in ms since 1970.
    pub at: i64,
}

impl ReportKind {
    /// The word in JSON and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::HardBounce => "hardBounce",
            Self::SoftBounce => "softBounce",
            Self::Complaint => "complaint",
        }
    }

    /// Returns what a bounce with these codes reports: a status (RFC 3463) and a server's words, which often hold a better
    /// one. Only a code that says that the address does not exist makes a hard bounce.
    pub fn of_bounce(status: &str, diagnostic: &str) -> Self {
        match best_codes(status, diagnostic) {
            Some([5, 1, 0..=3 | 6 | 10] | [5, 2, 1]) => Self::HardBounce,
            _ => Self::SoftBounce,
        }
    }

    /// As [`of_bounce`](Self::of_bounce), of a provider that calls the bounce permanent: it is hard unless the codes speak of
    /// something else than the address.
    pub fn of_permanent_bounce(status: &str, diagnostic: &str) -> Self {
        match best_codes(status, diagnostic) {
            None | Some([5, 0, _]) => Self::HardBounce,
            Some(_) => Self::of_bounce(status, diagnostic),
        }
    }
}

/// The codes that say most: `5.0.0` says nothing, and the words may say more.
fn best_codes(status: &str, diagnostic: &str) -> Option<[u16; 3]> {
    let in_words = diagnostic.split(|c: char| !c.is_ascii_digit() && c != '.').find_map(codes);
    let given = codes(status.trim());
    given.filter(|[_, subject, _]| *subject != 0).or(in_words).or(given)
}

/// The three numbers of an enhanced status code.
fn codes(text: &str) -> Option<[u16; 3]> {
    let mut parts = text.split('.').map(|part| part.parse().ok());
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Some(class @ (2 | 4 | 5))), Some(Some(subject)), Some(Some(detail)), None) => {
            Some([class, subject, detail])
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_do_not_exist_bounce_hard() {
        for (status, diagnostic) in [
            ("5.1.1", ""),
            ("5.1.10", "550 5.1.10 RESOLVER.ADR.RecipientNotFound"),
            ("5.1.2", "host unknown"),
            ("5.2.1", ""),
            ("5.0.0", "smtp; 550 5.1.1 <x@y.example>: no such user"),
            ("", "550 5.1.1 user unknown"),
        ] {
            assert_eq!(ReportKind::of_bounce(status, diagnostic), ReportKind::HardBounce, "{status} {diagnostic}");
        }
        for (status, diagnostic) in [
            ("5.2.2", "mailbox full"),
            ("4.4.7", "delivery time expired"),
            ("4.1.1", ""),
            ("5.7.1", "550 5.7.1 spam"),
            ("5.1.7", "sender"),
            ("5.1.8", "sender's domain"),
            ("5.4.1", ""),
            ("5.7.1", "550 5.1.1 quoted by somebody"),
            ("5.0.0", "554 rejected by 192.0.2.1 and 1.2.3.4"),
            ("5.0.0", ""),
            ("", ""),
            ("5.1", "x"),
            ("9.1.1", "x"),
        ] {
            assert_eq!(ReportKind::of_bounce(status, diagnostic), ReportKind::SoftBounce, "{status} {diagnostic}");
        }
    }

    #[test]
    fn permanent_bounces_are_hard_unless_codes_say_otherwise() {
        for (status, diagnostic, kind) in [
            ("", "", ReportKind::HardBounce),
            ("5.0.0", "no such mailbox", ReportKind::HardBounce),
            ("5.1.1", "", ReportKind::HardBounce),
            ("", "550 5.7.1 spam", ReportKind::SoftBounce),
            ("5.2.2", "", ReportKind::SoftBounce),
            ("4.4.7", "", ReportKind::SoftBounce),
        ] {
            assert_eq!(ReportKind::of_permanent_bounce(status, diagnostic), kind, "{status} {diagnostic}");
        }
    }
}
