//! The audit trail: who did what, to which mails, exam or account, and what that was before and is after. Rows are only
//! added.

use examhall_core::{ExamId, Timestamp, UserId};
use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseTransaction, EntityTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait,
};
use serde_json::Value;
use uuid::Uuid;

use crate::{
    Error, Listed, Page,
    db::Db,
    entity::{operator_action as row, user},
};

/// What operators, authors and administrators did.
#[derive(Clone, Debug)]
pub struct Audit {
    db: Db,
}

/// An action to be recorded.
#[derive(Clone, Debug)]
pub struct NewOperatorAction {
    /// The account that did it.
    pub actor: UserId,
    /// What was done, such as `retry`.
    pub action: &'static str,
    /// What it was done to: a filter, or the id of one mail; empty for all.
    pub filter: String,
    /// How many the filter matched.
    pub matched: u64,
    /// How many of them were changed.
    pub affected: u64,
    /// Why, if the operator said so.
    pub reason: Option<String>,
}

/// An action that was recorded.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorAction {
    /// Its row.
    pub id: Uuid,
    /// When it was done.
    pub at: Timestamp,
    /// The account that did it.
    pub actor_id: UserId,
    /// The account's address at that time; empty if it was gone.
    pub actor: String,
    /// What was done, such as `retry`.
    pub action: String,
    /// What it was done to.
    pub filter: String,
    /// How many the filter matched.
    pub matched: u64,
    /// How many of them were changed.
    pub affected: u64,
    /// Why, if the operator said so.
    pub reason: Option<String>,
    /// The exam that it was done to.
    pub exam_id: Option<ExamId>,
    /// The account that it was done to.
    pub user_id: Option<UserId>,
    /// What was changed, as it was before.
    pub before: Option<Value>,
    /// What was changed, as it is after it.
    pub after: Option<Value>,
}

/// Which actions are wanted; what is absent does not matter.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Those done to this exam.
    pub exam: Option<ExamId>,
    /// Those done to this account.
    pub user: Option<UserId>,
    /// Those done by this account.
    pub actor: Option<UserId>,
    /// Those of this name.
    pub action: Option<String>,
}

/// An action that is recorded in the transaction that does it.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    actor: UserId,
    action: &'static str,
    filter: String,
    exam: Option<ExamId>,
    user: Option<UserId>,
    before: Option<Value>,
    after: Option<Value>,
    affected: u64,
    reason: Option<String>,
}

impl Entry {
    /// Something done to an exam.
    pub(crate) fn of_exam(actor: UserId, action: &'static str, exam: ExamId) -> Self {
        let filter = format!("exam:{exam}");
        let (before, after, reason) = (None, None, None);
        Self { actor, action, filter, exam: Some(exam), user: None, before, after, affected: 1, reason }
    }

    /// Something done to an account.
    pub(crate) fn of_user(actor: UserId, action: &'static str, user: UserId) -> Self {
        let filter = format!("user:{user}");
        let (before, after, reason) = (None, None, None);
        Self { actor, action, filter, exam: None, user: Some(user), before, after, affected: 1, reason }
    }

    /// Also done to an account.
    pub(crate) fn about(mut self, user: UserId) -> Self {
        self.filter = format!("{} user:{user}", self.filter);
        Self { user: Some(user), ..self }
    }

    /// What was changed, before and after it; `null` where there was nothing, or is nothing.
    pub(crate) fn changing(self, before: Value, after: Value) -> Self {
        let some = |value: Value| (!value.is_null()).then_some(value);
        Self { before: some(before), after: some(after), ..self }
    }

    /// How many things were changed.
    pub(crate) fn affecting(self, affected: u64) -> Self {
        Self { affected, ..self }
    }

    pub(crate) fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }
}

impl Audit {
    pub(crate) fn new(db: Db) -> Self {
        Self { db }
    }

    /// Records an action.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn record(&self, new: &NewOperatorAction, now: Timestamp) -> Result<(), Error> {
        let entry = Entry {
            actor: new.actor,
            action: new.action,
            filter: new.filter.clone(),
            exam: None,
            user: None,
            before: None,
            after: None,
            affected: new.affected,
            reason: new.reason.clone(),
        };
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                insert(&tx, entry.clone(), new.matched, now).await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// The actions, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(&self, filter: &AuditFilter, page: Page) -> Result<Listed<OperatorAction>, Error> {
        let found = row::Entity::find()
            .order_by_desc(row::Column::Id)
            .limit(page.fetch())
            .apply_if(page.after, |found, after| found.filter(row::Column::Id.lt(after)))
            .apply_if(filter.exam, |found, exam| found.filter(row::Column::ExamId.eq(exam.0)))
            .apply_if(filter.user, |found, user| found.filter(row::Column::UserId.eq(user.0)))
            .apply_if(filter.actor, |found, actor| found.filter(row::Column::ActorId.eq(actor.0)))
            .apply_if(filter.action.as_deref(), |found, action| found.filter(row::Column::Action.eq(action)));
        let Listed { items, next } = page.cut(found.all(&self.db.read).await?, |row| row.id);
        Ok(Listed { items: items.into_iter().map(to_action).collect(), next })
    }
}

/// Records an action in the transaction that does it: neither is there without the other.
pub(crate) async fn write(tx: &DatabaseTransaction, entry: Entry, now: Timestamp) -> Result<(), Error> {
    let matched = entry.affected;
    insert(tx, entry, matched, now).await
}

async fn insert(tx: &DatabaseTransaction, entry: Entry, matched: u64, now: Timestamp) -> Result<(), Error> {
    let actor = user::Entity::find_by_id(entry.actor.0).one(tx).await?;
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let row = row::ActiveModel {
        id: Set(Uuid::now_v7()),
        at: Set(now.as_millis()),
        actor_id: Set(entry.actor.0),
        actor: Set(actor.map(|account| account.email).unwrap_or_default()),
        action: Set(entry.action.to_owned()),
        filter: Set(entry.filter),
        matched: Set(count(matched)),
        affected: Set(count(entry.affected)),
        reason: Set(entry.reason),
        exam_id: Set(entry.exam.map(|exam| exam.0)),
        user_id: Set(entry.user.map(|user| user.0)),
        before_json: Set(entry.before),
        after_json: Set(entry.after),
    };
    row::Entity::insert(row).exec_without_returning(tx).await?;
    Ok(())
}

fn to_action(row: row::Model) -> OperatorAction {
    OperatorAction {
        id: row.id,
        at: Timestamp::from_millis(row.at),
        actor_id: UserId(row.actor_id),
        actor: row.actor,
        action: row.action,
        filter: row.filter,
        matched: row.matched.unsigned_abs(),
        affected: row.affected.unsigned_abs(),
        reason: row.reason,
        exam_id: row.exam_id.map(ExamId),
        user_id: row.user_id.map(UserId),
        before: row.before_json,
        after: row.after_json,
    }
}
