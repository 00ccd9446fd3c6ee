//! Payload of an e-mail job, as stored in Redis.

mod rules;

use std::{collections::BTreeMap, fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

pub use self::rules::BadMail;
use crate::Timestamp;

/// One mail to send. In JSON it is what the Node system's nodemailer takes, so a worker of either kind can send it;
/// `{to, subject, html}` is enough.
///
/// ```
/// use examhall_core::{EmailJob, MailClass};
///
/// let job: EmailJob = serde_json::from_str(r#"{"to":"ada@example.com","subject":"Hello","html":"<p>Hi</p>"}"#)?;
/// assert_eq!(job.class, MailClass::Other);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmailJob {
    /// Who gets it; shown in the mail.
    pub to: Recipients,
    /// Subject line, any characters but line breaks.
    pub subject: String,
    /// HTML body.
    pub html: String,
    /// Plain body, for readers that show no HTML.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Author, as `Name <local@domain>` or `local@domain`; `MAIL_FROM` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Where answers go.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply_to: Option<String>,
    /// Who gets a copy; shown in the mail.
    #[serde(default, skip_serializing_if = "Recipients::is_empty")]
    pub cc: Recipients,
    /// Who gets a copy without being shown.
    #[serde(default, skip_serializing_if = "Recipients::is_empty")]
    pub bcc: Recipients,
    /// Further header fields, name to value.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Files that go with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// `Message-ID` (RFC 5322, section 3.6.4) with its angle brackets; made from the job's id where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// From then on it is not sent any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What kind of mail it is.
    #[serde(default, skip_serializing_if = "MailClass::is_other")]
    pub class: MailClass,
}

impl EmailJob {
    /// Default of `QUEUE_NAME`, the queue of mails.
    pub const QUEUE: &'static str = "email";
    /// The name of every e-mail job.
    pub const NAME: &'static str = "send-email";
    /// What the ids of jobs begin with that stand in the API's outbox, before the row's own id.
    pub const ID_PREFIX: &'static str = "m-";
    /// Default number of attempts to send a mail.
    pub const ATTEMPTS: u32 = 3;
    /// Backoff after the first failed attempt; it doubles.
    pub const BACKOFF: Duration = Duration::from_secs(2);
    /// How long a sent mail's job is kept.
    pub const KEEP_COMPLETED: Duration = Duration::from_hours(24);
    /// How long a failed mail's job is kept, for debugging and for another try by hand.
    pub const KEEP_FAILED: Duration = Duration::from_hours(30 * 24);
    /// Prefix of the keys of the delivery ledger, which outlives the jobs.
    pub const LEDGER_PREFIX: &'static str = "mail:sent:";
    /// How long the ledger knows of a mail.
    pub const KEEP_LEDGER: Duration = Duration::from_hours(7 * 24);
    /// Recipients that one job may have in `to`, `cc` and `bcc` together.
    pub const MAX_RECIPIENTS: usize = 50;

    /// Checks that the mail has recipients, and not too many.
    ///
    /// # Errors
    /// Where `to` is empty, or `to`, `cc` and `bcc` together name more than [`MAX_RECIPIENTS`](Self::MAX_RECIPIENTS).
    pub fn check_recipients(&self) -> Result<(), BadRecipients> {
        let count = self.to.0.len() + self.cc.0.len() + self.bcc.0.len();
        if self.to.is_empty() {
            Err(BadRecipients::None)
        } else if count > Self::MAX_RECIPIENTS {
            Err(BadRecipients::TooMany(count))
        } else {
            Ok(())
        }
    }
}

/// Shows what identifies the mail, and neither its text nor its recipients.
impl fmt::Debug for EmailJob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EmailJob")
            .field("class", &self.class)
            .field("message_id", &self.message_id)
            .field("recipients", &(self.to.0.len() + self.cc.0.len() + self.bcc.0.len()))
            .finish_non_exhaustive()
    }
}

/// A mail has no recipient, or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadRecipients {
    /// `to` is empty.
    #[error("`to` names nobody")]
    None,
    /// That many, over `to`, `cc` and `bcc`.
    #[error("{0} recipients over `to`, `cc` and `bcc`; at most {max} are allowed", max = EmailJob::MAX_RECIPIENTS)]
    TooMany(usize),
}

/// What kind of mail it is: metrics and the policy for doubtful deliveries go by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum MailClass {
    /// Proves that an address belongs to the account.
    Verification,
    /// Password reset.
    Reset,
    /// Result of an exam.
    Result,
    /// Everything else, and every class that this version does not know.
    #[default]
    #[serde(other)]
    Other,
}

impl MailClass {
    /// The word used in jobs, tables and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Reset => "reset",
            Self::Result => "result",
            Self::Other => "other",
        }
    }

    /// Returns the class of a word; [`Other`](Self::Other) if it names none.
    pub fn from_word(word: &str) -> Self {
        let named = [Self::Verification, Self::Reset, Self::Result].into_iter().find(|class| class.as_str() == word);
        named.unwrap_or_default()
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    fn is_other(&self) -> bool {
        *self == Self::Other
    }
}

/// One address or several, each as `local@domain` or `Name <local@domain>`. In JSON: a string, or a list of strings.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Recipients(pub Vec<String>);

impl Recipients {
    /// Returns whether there is no recipient.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Recipients {
    fn from(one: &str) -> Self {
        Self(vec![one.to_owned()])
    }
}

/// Shows how many: addresses do not belong in logs.
impl fmt::Debug for Recipients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Recipients({})", self.0.len())
    }
}

impl Serialize for Recipients {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0.as_slice() {
            [one] => serializer.serialize_str(one),
            several => several.serialize(serializer),
        }
    }
}

impl<'de> Deserialize<'de> for Recipients {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(RecipientsVisitor)
    }
}

struct RecipientsVisitor;

impl<'de> de::Visitor<'de> for RecipientsVisitor {
    type Value = Recipients;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an address or a list of addresses")
    }

    fn visit_str<E: de::Error>(self, one: &str) -> Result<Recipients, E> {
        Ok(one.into())
    }

    fn visit_seq<A: de::SeqAccess<'de>>(self, list: A) -> Result<Recipients, A::Error> {
        Vec::deserialize(de::value::SeqAccessDeserializer::new(list)).map(Recipients)
    }
}

/// A file that goes with a mail, in nodemailer's form.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Attachment {
    /// Name that the reader sees.
    pub filename: String,
    /// The file itself, in the encoding named below.
    pub content: String,
    /// Always `base64`.
    pub encoding: AttachmentEncoding,
    /// Media type; `application/octet-stream` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<String>,
}

/// Shows the size and not the file.
impl fmt::Debug for Attachment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Attachment({} bytes of base64)", self.content.len())
    }
}

/// How an attachment's content is written: RFC 4648, section 4, and nothing else.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AttachmentEncoding {
    /// Base64 with padding.
    Base64,
}

#[cfg(test)]
mod tests;
