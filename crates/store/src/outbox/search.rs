//! Finds mails of the outbox, without what they say.

use examhall_core::{EmailAddress, MailClass, Priority, Timestamp};
use sea_orm::{
    ColumnTrait, Condition, EntityTrait, FromQueryResult, QueryFilter, QueryOrder, QuerySelect, Select,
    sea_query::{Expr, ExprTrait, Func},
};
use uuid::Uuid;

use super::{MailOutcome, Outbox};
use crate::{
    Error, Listed, Page,
    entity::mail_outbox::{self, Column},
};

/// A mail of the outbox, without what it says.
#[derive(Clone, Debug)]
pub struct MailRow {
    /// Names it, and with "m-" before it its job.
    pub id: Uuid,
    /// What kind of mail it is.
    pub class: MailClass,
    /// Which template it is rendered with.
    pub template: String,
    /// Who gets it.
    pub to: EmailAddress,
    /// How urgent it is.
    pub priority: Priority,
    /// When it was committed.
    pub created_at: Timestamp,
    /// Since when it is in the queue.
    pub enqueued_at: Option<Timestamp>,
    /// From then on it is not sent any more.
    pub expires_at: Option<Timestamp>,
    /// What became of it, if that is known.
    pub outcome: Option<MailOutcome>,
    /// Since when that is known.
    pub outcome_at: Option<Timestamp>,
    /// How often relays have claimed it since it was new.
    pub claims: u32,
}

/// Which mails are wanted: those that fulfil every condition.
#[derive(Clone, Debug, Default)]
pub struct MailSearch {
    /// Their recipient, in lower case.
    pub to: Option<String>,
    /// Their kind.
    pub class: Option<MailClass>,
    /// How far they have come.
    pub place: Option<MailPlace>,
    /// Committed then or later.
    pub after: Option<Timestamp>,
    /// Committed earlier.
    pub before: Option<Timestamp>,
}

/// How far a mail has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailPlace {
    /// It waits to be queued.
    Outbox,
    /// It has ended that way.
    Ended(MailOutcome),
}

#[derive(FromQueryResult)]
struct Row {
    id: Uuid,
    class: String,
    template: String,
    recipient: String,
    priority: i32,
    created_at: i64,
    enqueued_at: Option<i64>,
    expires_at: Option<i64>,
    outcome: Option<String>,
    outcome_at: Option<i64>,
    claims: i32,
}

/// Never what it says: `params` and `sealed`.
const COLUMNS: [Column; 11] = [
    Column::Id,
    Column::Class,
    Column::Template,
    Column::Recipient,
    Column::Priority,
    Column::CreatedAt,
    Column::EnqueuedAt,
    Column::ExpiresAt,
    Column::Outcome,
    Column::OutcomeAt,
    Column::Claims,
];

impl Outbox {
    /// Finds mails, newest first; `page.after` is the last one of the page before.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn search(&self, search: &MailSearch, page: Page) -> Result<Listed<MailRow>, Error> {
        let mut found = select().filter(search.condition());
        if let Some(after) = page.after {
            found = found.filter(Column::Id.lt(after));
        }
        let rows = found.order_by_desc(Column::Id).limit(page.fetch()).into_model::<Row>().all(&self.db.read).await?;
        Ok(page.cut(rows.into_iter().map(MailRow::from).collect(), |row| row.id))
    }

    /// Reads the mails of these ids that there are.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn rows(&self, ids: &[Uuid]) -> Result<Vec<MailRow>, Error> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let found = select().filter(Column::Id.is_in(ids.iter().copied()));
        Ok(found.into_model::<Row>().all(&self.db.read).await?.into_iter().map(MailRow::from).collect())
    }
}

fn select() -> Select<mail_outbox::Entity> {
    mail_outbox::Entity::find().select_only().columns(COLUMNS)
}

impl MailSearch {
    fn condition(&self) -> Condition {
        let mut all = Condition::all();
        if let Some(to) = &self.to {
            all = all.add(Expr::expr(Func::lower(Expr::col(Column::Recipient))).eq(to.as_str()));
        }
        if let Some(class) = self.class {
            all = all.add(Column::Class.eq(class.as_str()));
        }
        match self.place {
            Some(MailPlace::Outbox) => all = all.add(Column::EnqueuedAt.is_null()).add(Column::Outcome.is_null()),
            Some(MailPlace::Ended(outcome)) => all = all.add(Column::Outcome.eq(outcome.as_str())),
            None => {}
        }
        if let Some(after) = self.after {
            all = all.add(Column::CreatedAt.gte(after.as_millis()));
        }
        if let Some(before) = self.before {
            all = all.add(Column::CreatedAt.lt(before.as_millis()));
        }
        all
    }
}

/// What cannot be read is shown as the nearest that can: a list must not fail for one row.
impl From<Row> for MailRow {
    fn from(row: Row) -> Self {
        let level = u8::try_from(row.priority).unwrap_or_default();
        Self {
            id: row.id,
            class: MailClass::from_word(&row.class),
            template: row.template,
            to: EmailAddress::from_stored(row.recipient),
            priority: Priority::new(level).unwrap_or_default(),
            created_at: Timestamp::from_millis(row.created_at),
            enqueued_at: row.enqueued_at.map(Timestamp::from_millis),
            expires_at: row.expires_at.map(Timestamp::from_millis),
            outcome: row.outcome.as_deref().and_then(MailOutcome::of_word),
            outcome_at: row.outcome_at.map(Timestamp::from_millis),
            claims: u32::try_from(row.claims).unwrap_or_default(),
        }
    }
}
