//! The audit trail: which operator did what, to which mails, and to how many. Rows are only added.

use examhall_core::{Timestamp, UserId};
use sea_orm::{ActiveValue::Set, ColumnTrait, EntityTrait, QueryFilter, QueryOrder, QuerySelect};
use uuid::Uuid;

use crate::{
    Error, Listed, Page,
    db::Db,
    entity::{operator_action as row, user},
};

/// What operators did.
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
#[derive(Clone, Debug, PartialEq, Eq)]
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
        self.db
            .retry(|| async {
                let tx = self.db.begin().await?;
                let actor = user::Entity::find_by_id(new.actor.0).one(&tx).await?;
                let row = row::ActiveModel {
                    id: Set(Uuid::now_v7()),
                    at: Set(now.as_millis()),
                    actor_id: Set(new.actor.0),
                    actor: Set(actor.map(|account| account.email).unwrap_or_default()),
                    action: Set(new.action.to_owned()),
                    filter: Set(new.filter.clone()),
                    matched: Set(i64::try_from(new.matched).unwrap_or(i64::MAX)),
                    affected: Set(i64::try_from(new.affected).unwrap_or(i64::MAX)),
                    reason: Set(new.reason.clone()),
                };
                row::Entity::insert(row).exec_without_returning(&tx).await?;
                Ok(tx.commit().await?)
            })
            .await
    }

    /// The actions, newest first.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn list(&self, page: Page) -> Result<Listed<OperatorAction>, Error> {
        let mut found = row::Entity::find().order_by_desc(row::Column::Id).limit(page.fetch());
        if let Some(after) = page.after {
            found = found.filter(row::Column::Id.lt(after));
        }
        let Listed { items, next } = page.cut(found.all(&self.db.read).await?, |row| row.id);
        Ok(Listed { items: items.into_iter().map(to_action).collect(), next })
    }
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
    }
}
