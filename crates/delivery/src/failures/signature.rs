//! What failed, without what differs from mail to mail.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest reason, in characters.
const LONGEST: usize = 120;

/// Signature of a failure: phase and codes of a server's refusal and the recipients' domain, or else a reason.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FailureSignature {
    /// Phase of the SMTP dialogue, such as `rcpt`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// Basic code of the reply (RFC 5321).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<u16>,
    /// Enhanced code of the reply (RFC 3463), such as `5.1.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enhanced: Option<String>,
    /// Domain of the recipients, if they have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Why it failed, if no server refused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl FailureSignature {
    /// Signature of a job's `failedReason`: without addresses, numbers and quoted text, and of `suppressed`, `held` and
    /// `withheld` mails without what follows.
    pub fn of_reason(reason: &str) -> Self {
        let head = reason.split_once(':').map(|(head, _)| head);
        let reason = match head {
            Some(kind @ ("suppressed" | "held" | "withheld")) => kind.to_owned(),
            _ => general(reason),
        };
        Self { reason: Some(reason), ..Self::default() }
    }

    /// Id of the group: a hash (FNV-1a) of the signature, 16 hexadecimal digits.
    pub fn id(&self) -> String {
        let text = format!("{:?}", (&self.phase, self.code, &self.enhanced, &self.domain, &self.reason));
        let hash = text
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        format!("{hash:016x}")
    }
}

/// `550 5.1.1 at rcpt, example.com`, or the reason.
impl fmt::Display for FailureSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let codes = [self.code.map(|code| code.to_string()), self.enhanced.clone()];
        let mut words: Vec<String> = codes.into_iter().flatten().collect();
        words.extend(self.reason.clone());
        words.extend(self.phase.as_ref().filter(|_| self.code.is_some()).map(|phase| format!("at {phase}")));
        f.write_str(&words.join(" "))?;
        self.domain.as_ref().map_or(Ok(()), |domain| write!(f, ", {domain}"))
    }
}

/// Leaves out what differs from mail to mail.
fn general(reason: &str) -> String {
    let mut words = Vec::new();
    let mut is_quoted = false;
    for word in reason.split_whitespace() {
        let quotes = word.matches('"').count();
        let was_quoted = is_quoted;
        is_quoted ^= quotes % 2 == 1;
        let shown = match word {
            _ if was_quoted => continue,
            _ if quotes > 0 => "…".to_owned(),
            _ if word.contains('@') => "…".to_owned(),
            _ => word.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect(),
        };
        words.push(shown);
    }
    let mut text = words.join(" ");
    while text.contains("##") {
        text = text.replace("##", "#");
    }
    text.chars().take(LONGEST).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_general() {
        for (reason, expected) in [
            ("expired", "expired"),
            ("suppressed: 550 5.1.1 no such user", "suppressed"),
            ("held: it may have been delivered before; `mailer queue retry m-1` sends it again", "held"),
            ("withheld: MAIL_ALLOW contains none of its recipients", "withheld"),
            ("to: ada@example.com is no address", "to: … is no address"),
            (
                "name: there is no handler for jobs named \"send mail now\"",
                "name: there is no handler for jobs named …",
            ),
            ("subject: 1234 characters, and at most 998", "subject: # characters, and at most #"),
            ("job stalled more than allowable limit", "job stalled more than allowable limit"),
        ] {
            assert_eq!(FailureSignature::of_reason(reason).reason.as_deref(), Some(expected), "{reason}");
        }
        let long = FailureSignature::of_reason(&"x".repeat(1_000));
        assert_eq!(long.reason.map(|reason| reason.len()), Some(LONGEST));
    }

    #[test]
    fn signatures_differ_by_each_of_their_parts() {
        let base = FailureSignature {
            phase: Some("rcpt".to_owned()),
            code: Some(550),
            enhanced: Some("5.1.1".to_owned()),
            domain: Some("example.com".to_owned()),
            reason: None,
        };
        assert_eq!(base.to_string(), "550 5.1.1 at rcpt, example.com");
        assert_eq!(FailureSignature::of_reason("expired").to_string(), "expired");
        let mut ids = vec![base.id(), FailureSignature::of_reason("expired").id()];
        ids.push(FailureSignature { phase: None, ..base.clone() }.id());
        ids.push(FailureSignature { code: Some(551), ..base.clone() }.id());
        ids.push(FailureSignature { enhanced: None, ..base.clone() }.id());
        ids.push(FailureSignature { domain: None, ..base.clone() }.id());
        ids.push(FailureSignature { domain: None, reason: base.domain.clone(), ..base.clone() }.id());
        assert!(ids.iter().all(|id| id.len() == 16));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 7);
    }
}
