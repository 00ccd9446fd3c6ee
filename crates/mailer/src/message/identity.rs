//! What makes two mails the same: `Message-ID` and boundaries, made of the job's id and time.

use examhall_core::EmailJob;
use ring::digest::{Context, SHA256};

/// A job's id, and when it was added in ms since 1970.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity<'a> {
    pub(crate) id: &'a str,
    pub(crate) timestamp: i64,
}

/// Longest job id that is a part of the `Message-ID` as it is.
const LONGEST_ID: usize = 60;

impl Identity<'_> {
    /// Returns the time at which the job was added, unless its id alone names the mail: BullMQ lets any other id be used
    /// again once its job was removed, and the API adds a mail of its outbox again under the same id.
    pub(crate) fn timestamp_in_ledger(&self) -> Option<i64> {
        (!EmailJob::is_of_outbox(self.id)).then_some(self.timestamp)
    }

    /// Returns the `Message-ID` (RFC 5322, section 3.6.4).
    pub(super) fn message_id(&self, domain: &str) -> String {
        let id = if is_atom(self.id) { self.id.to_owned() } else { format!("h-{}", self.hash(0)) };
        match self.timestamp_in_ledger() {
            Some(timestamp) => format!("<{id}.{timestamp}@{domain}>"),
            None => format!("<{id}@{domain}>"),
        }
    }

    /// Returns the common part of the mail's boundaries, which is not in its parts: the same for the same mail.
    pub(super) fn boundary(&self, is_in_parts: impl Fn(&str) -> bool) -> String {
        let mut candidates = (1..).map(|n| self.hash(n));
        candidates.find(|candidate| !is_in_parts(candidate)).unwrap_or_default()
    }

    /// 32 hex digits.
    fn hash(&self, n: u32) -> String {
        let mut context = Context::new(&SHA256);
        for part in [self.id.as_bytes(), &self.timestamp.to_be_bytes(), &n.to_be_bytes()] {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let first = context.finish().as_ref().iter().take(16).fold(0_u128, |all, byte| all << 8 | u128::from(*byte));
        format!("{first:032x}")
    }
}

fn is_atom(id: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let has_empty_part = id.split('.').any(str::is_empty);
    id.len() <= LONGEST_ID && !has_empty_part && id.bytes().all(is_allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message_id(id: &str) -> String {
        Identity { id, timestamp: 1_795_424_400_000 }.message_id("x.example")
    }

    #[test]
    fn message_id_is_an_atom_for_every_job_id() {
        let uuid = "m-018f4e3a-0000-7000-8000-000000000001";
        assert_eq!(message_id(uuid), format!("<{uuid}@x.example>"));
        assert_eq!(message_id("7"), "<7.1795424400000@x.example>");
        assert_eq!(message_id("digest-42"), "<digest-42.1795424400000@x.example>");
        let long = "x".repeat(61);
        for id in
            ["welcome-ada@example.test", "user:1", "a b", "a<b>c", "größe", "a..b", ".a", "a.", "", "a\r\nX: y", &long]
        {
            let hashed = message_id(id);
            assert!(hashed.starts_with("<h-") && hashed.len() == "<h-.1795424400000@x.example>".len() + 32, "{hashed}");
        }
        assert_ne!(message_id("a b"), message_id("a c"));
    }

    #[test]
    fn only_ids_of_the_outbox_name_a_mail_alone() {
        let is_alone = |id| Identity { id, timestamp: 7 }.timestamp_in_ledger().is_none();
        assert!(is_alone("m-018f4e3a-0000-7000-8000-000000000001"));
        for id in
            ["m-7", "7", "digest-42", "m-018f4e3a-0000-7000-8000-00000000000", "m-018f4e3a00007000800000000000000001xx"]
        {
            assert!(!is_alone(id), "{id}");
        }
    }

    #[test]
    fn boundary_is_not_in_the_parts() {
        let identity = Identity { id: "1", timestamp: 7 };
        let first = identity.boundary(|_| false);
        let second = identity.boundary(|boundary| boundary == first);
        assert!(first.len() == 32 && second.len() == 32 && first != second);
        assert_eq!(identity.boundary(|_| false), first, "the same for the same mail");
        assert_ne!(Identity { id: "1", timestamp: 8 }.boundary(|_| false), first);
    }
}
