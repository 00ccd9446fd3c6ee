//! A mail as the outbox holds it, and its row.

use examhall_core::{EmailAddress, MailClass, Priority, Timestamp};
use sea_orm::ActiveValue::Set;
use uuid::Uuid;

use crate::{Error, entity::mail_outbox};

/// A mail to be sent once the transaction it is written in is committed.
#[derive(Clone, Debug)]
pub struct NewMail {
    /// Names it, and with "m-" before it its job.
    pub id: Uuid,
    /// What kind of mail it is.
    pub class: MailClass,
    /// Which template it is rendered with.
    pub template: String,
    /// Who gets it.
    pub to: EmailAddress,
    /// What the template shows.
    pub params: serde_json::Value,
    /// What it shows and nobody else may read, encrypted.
    pub sealed: Vec<u8>,
    /// How urgent it is.
    pub priority: Priority,
    /// From then on it is not sent any more.
    pub expires_at: Option<Timestamp>,
    /// The trace that its cause is part of: JSON text of a W3C trace context.
    pub trace: Option<String>,
}

/// A mail that a relay has claimed.
#[derive(Clone, Debug)]
pub struct WaitingMail {
    /// The mail.
    pub mail: NewMail,
    /// When it was committed.
    pub created_at: Timestamp,
    /// How often relays have claimed it, this claim included, since it was new.
    pub claims: u32,
}

/// What became of a mail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailOutcome {
    /// A server has accepted it.
    Sent,
    /// It failed for good.
    Failed,
    /// An operator took it away.
    Removed,
}

/// A mail with how far it has come.
#[derive(Clone, Debug)]
pub struct MailRecord {
    /// The mail.
    pub waiting: WaitingMail,
    /// What became of it, if that is known.
    pub outcome: Option<MailOutcome>,
    /// Since when that is known.
    pub outcome_at: Option<Timestamp>,
}

impl MailOutcome {
    const ALL: [Self; 3] = [Self::Sent, Self::Failed, Self::Removed];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Removed => "removed",
        }
    }

    pub(super) fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|one| one.as_str() == word)
    }
}

pub(crate) fn to_row(mail: &NewMail, now: Timestamp) -> mail_outbox::ActiveModel {
    mail_outbox::ActiveModel {
        id: Set(mail.id),
        class: Set(mail.class.as_str().to_owned()),
        template: Set(mail.template.clone()),
        recipient: Set(mail.to.as_str().to_owned()),
        params: Set(mail.params.clone()),
        sealed: Set(mail.sealed.clone()),
        priority: Set(i32::from(mail.priority.level())),
        run_at: Set(now.as_millis()),
        expires_at: Set(mail.expires_at.map(Timestamp::as_millis)),
        trace: Set(mail.trace.clone()),
        request_key: Set(None),
        created_at: Set(now.as_millis()),
        claimed_until: Set(None),
        enqueued_at: Set(None),
        outcome: Set(None),
        outcome_at: Set(None),
        claims: Set(0),
    }
}

pub(super) fn to_record(row: mail_outbox::Model) -> Result<MailRecord, Error> {
    let outcome_at = row.outcome_at.map(Timestamp::from_millis);
    let outcome = row.outcome.as_deref().and_then(MailOutcome::of_word);
    Ok(MailRecord { waiting: to_waiting(row)?, outcome, outcome_at })
}

pub(super) fn to_waiting(row: mail_outbox::Model) -> Result<WaitingMail, Error> {
    let corrupt = |column| Error::Corrupt { table: "mail_outbox", column };
    let level = u8::try_from(row.priority).map_err(|_| corrupt("priority"))?;
    Ok(WaitingMail {
        created_at: Timestamp::from_millis(row.created_at),
        claims: u32::try_from(row.claims).unwrap_or(0),
        mail: NewMail {
            id: row.id,
            class: MailClass::from_word(&row.class),
            template: row.template,
            to: EmailAddress::from_stored(row.recipient),
            params: row.params,
            sealed: row.sealed,
            priority: Priority::new(level).map_err(|_| corrupt("priority"))?,
            expires_at: row.expires_at.map(Timestamp::from_millis),
            trace: row.trace,
        },
    })
}
