//! Payload of an e-mail job, as stored in Redis.

mod attachment;
mod calendar;
mod content;
mod copy;
mod headers;
mod list_headers;
mod node_mail;
mod recipients;
mod rules;
mod scalars;

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use self::node_mail::NodeMail;
pub use self::{attachment::Attachment, copy::NoCopy, headers::MailHeaders, recipients::Recipients, rules::BadMail};
use crate::Timestamp;

/// One mail to send. In JSON it is the data that Node programs give to nodemailer, so a worker of either kind can send it;
/// `{to, subject, html}` is enough.
///
/// It is written in one form, and read in every form that nodemailer takes: `null` for what is absent, lists of addresses
/// with commas, `{name, address}`, Buffers, numbers. A field of nodemailer that the mailer cannot obey is an error.
///
/// ```
/// use examhall_core::{EmailJob, MailClass};
///
/// let job: EmailJob = serde_json::from_str(r#"{"to":"ada@example.com","subject":"Hello","html":"<p>Hi</p>"}"#)?;
/// assert_eq!(job.class, MailClass::Other);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", from = "NodeMail")]
pub struct EmailJob {
    /// Who gets it; shown in the mail.
    pub to: Recipients,
    /// Subject line, any characters but line breaks.
    pub subject: String,
    /// HTML body.
    pub html: String,
    /// Plain body, for readers that show no HTML.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Author; `MAIL_FROM` where absent.
    #[serde(skip_serializing_if = "Recipients::is_empty")]
    pub from: Recipients,
    /// Who sent it for the author (RFC 5322, section 3.6.2).
    #[serde(skip_serializing_if = "Recipients::is_empty")]
    pub sender: Recipients,
    /// Where answers go.
    #[serde(skip_serializing_if = "Recipients::is_empty")]
    pub reply_to: Recipients,
    /// Who gets a copy; shown in the mail.
    #[serde(skip_serializing_if = "Recipients::is_empty")]
    pub cc: Recipients,
    /// Who gets a copy without being shown.
    #[serde(skip_serializing_if = "Recipients::is_empty")]
    pub bcc: Recipients,
    /// Further header fields.
    #[serde(skip_serializing_if = "MailHeaders::is_empty")]
    pub headers: MailHeaders,
    /// Files that go with it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
    /// The same text in other media types, such as an invitation to a meeting.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub alternatives: Vec<Attachment>,
    /// `Message-ID` (RFC 5322, section 3.6.4); made from the job's id where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message_id: Option<String>,
    /// `Date`; the time of the first attempt where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<Timestamp>,
    /// From then on it is not sent any more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What kind of mail it is.
    #[serde(skip_serializing_if = "MailClass::is_other")]
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

    /// Prefix of the keys that name the job of a mail by a name that does not tell it.
    pub const NAMES_PREFIX: &'static str = "mail:message:";
    /// Key of the suppression list.
    pub const SUPPRESSED_KEY: &'static str = "mail:suppressed";
    /// Key of the ids of mails that are held.
    pub const HELD_KEY: &'static str = "mail:held";
    /// Key of the ids of mails that are in doubt.
    pub const IN_DOUBT_KEY: &'static str = "mail:in-doubt";
    /// Key of the mailers' heartbeats; other keys begin with it.
    pub const FLEET_KEY: &'static str = "mail:{mailers}";
    /// Beginning of the keys of the counts by minute and hour.
    pub const HISTORY_KEY: &'static str = "mail:{history}";
    /// Key of the groups of failed mails; other keys begin with it.
    pub const FAILURES_KEY: &'static str = "mail:{failures}";
    /// Key of the note about a pause of the queue.
    pub const PAUSE_KEY: &'static str = "mail:pause";
    /// Key of the numbers of bounces and complaints.
    pub const REPORTS_KEY: &'static str = "mail:reports";

    /// Returns whether a job's id is one of the API's outbox: `m-<uuid>`. It names one mail forever.
    pub fn is_of_outbox(id: &str) -> bool {
        let Some(uuid) = id.strip_prefix(Self::ID_PREFIX) else { return false };
        let is_dash = |n: usize| matches!(n, 8 | 13 | 18 | 23);
        uuid.len() == 36
            && uuid
                .bytes()
                .enumerate()
                .all(|(n, byte)| if is_dash(n) { byte == b'-' } else { byte.is_ascii_hexdigit() })
    }

    /// Checks that the mail has recipients, and not too many. An entry may be a list with commas, which counts as one here.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum MailClass {
    /// Proves that an address belongs to the account.
    Verification,
    /// Password reset.
    Reset,
    /// Result of an exam.
    Result,
    /// Invitation to an exam.
    Invitation,
    /// Everything else, and every class that this version does not know.
    #[default]
    Other,
}

impl MailClass {
    /// The word used in jobs, tables and metric labels.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Verification => "verification",
            Self::Reset => "reset",
            Self::Result => "result",
            Self::Invitation => "invitation",
            Self::Other => "other",
        }
    }

    /// Returns the class of a word; [`Other`](Self::Other) if it names none.
    pub fn from_word(word: &str) -> Self {
        let named = [Self::Verification, Self::Reset, Self::Result, Self::Invitation];
        named.into_iter().find(|class| class.as_str() == word).unwrap_or_default()
    }

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's skip_serializing_if passes a reference")]
    fn is_other(&self) -> bool {
        *self == Self::Other
    }
}

#[cfg(test)]
mod tests;
