//! Mails whose text an administrator writes.

use examhall_core::{EmailJob, Recipients, Timestamp};
use serde::{Deserialize, Serialize};

/// The template of such mails.
pub(crate) const CUSTOM: &str = "custom";

/// A mail as it was asked for; it waits in the outbox like this.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CustomMail {
    pub(crate) to: Recipients,
    pub(crate) subject: String,
    pub(crate) html: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) text: Option<String>,
    #[serde(flatten)]
    pub(crate) delivery: Delivery,
}

/// How a mail is delivered where that is not as always.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Delivery {
    /// Tries in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) attempts: Option<u32>,
    /// Not tried before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) not_before: Option<Timestamp>,
}

impl CustomMail {
    /// The job's data.
    pub(super) fn into_job(self) -> (EmailJob, Delivery) {
        let Self { to, subject, html, text, delivery } = self;
        (EmailJob { to, subject, html, text, ..EmailJob::default() }, delivery)
    }
}
