//! Copies of mails that were sent.

use serde_json::Value;

use super::EmailJob;
use crate::Timestamp;

/// Why a mail cannot be sent once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoCopy {
    /// Its body was removed once it was sent.
    #[error("its body was removed after it was sent (MAIL_KEEP_BODIES)")]
    Wiped,
    /// It has an end, which has passed.
    #[error("it has expired")]
    Expired,
    /// Its data is no mail.
    #[error("its data cannot be read")]
    Unreadable,
}

impl EmailJob {
    /// Returns a copy of a mail that was sent, of its job's data. It has a `Message-ID` and a `Date` of its own.
    ///
    /// # Errors
    /// Returns [`NoCopy`] if the data does not hold the mail any more, or nothing may be sent of it.
    pub fn copy_of(data: &Value, now: Timestamp) -> Result<Self, NoCopy> {
        let mail: Self = serde_json::from_value(data.clone()).map_err(|_| NoCopy::Unreadable)?;
        if mail.expires_at.is_some_and(|end| end <= now) {
            return Err(NoCopy::Expired);
        }
        if mail.html.is_empty() && mail.text.is_none() && mail.attachments.is_empty() && mail.alternatives.is_empty() {
            return Err(NoCopy::Wiped);
        }
        Ok(Self { message_id: None, date: None, ..mail })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_copy_is_a_mail_of_its_own() {
        let now = Timestamp::from_millis(1_795_424_400_000);
        let copy = |data: Value| EmailJob::copy_of(&data, now);
        let mail = json!({"to": "a@b.example", "html": "x", "messageId": "<x@y>", "date": "2026-11-23T09:00:00Z"});
        let sent = copy(mail).expect("a mail");
        assert_eq!((sent.html.as_str(), sent.message_id, sent.date), ("x", None, None));
        assert_eq!(copy(json!({"to": "a@b.example", "html": ""})), Err(NoCopy::Wiped));
        assert_eq!(copy(json!({"to": "a@b.example", "html": "x", "expiresAt": now})), Err(NoCopy::Expired));
        assert_eq!(copy(json!("x")), Err(NoCopy::Unreadable));
    }
}
