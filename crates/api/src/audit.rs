//! Records what operators do, and notifies those who look on.

use examhall_store::NewOperatorAction;

use crate::{
    access::{Action, Allowed, Permission},
    state::{State, now},
};
use examhall_core::UserId;

/// What came of an action.
#[derive(Clone, Debug)]
pub(crate) struct Done {
    /// What it was done to, in the words of a search: `state:failed reason:timeout`, or `id:m-...`; empty for all.
    pub(crate) filter: String,
    /// How many the filter matched.
    pub(crate) matched: u64,
    /// How many of them were changed.
    pub(crate) affected: u64,
    /// Why, if the operator said so.
    pub(crate) reason: Option<String>,
}

impl Done {
    /// All that there were.
    pub(crate) fn all(affected: u64) -> Self {
        Self { filter: String::new(), matched: affected, affected, reason: None }
    }

    /// The one that the filter names.
    pub(crate) fn one(filter: String) -> Self {
        Self { filter, ..Self::all(1) }
    }

    pub(crate) fn because(self, reason: Option<String>) -> Self {
        Self { reason, ..self }
    }
}

/// Records an action of a JSON route.
pub(crate) async fn record<P: Permission>(state: &State, by: &Allowed<P>, done: Done) {
    record_as(state, by.viewer.id, P::ACTION, done).await;
}

/// Records an action that was done. If the database is away, the log keeps it.
pub(crate) async fn record_as(state: &State, actor: UserId, action: Action, done: Done) {
    let Done { filter, matched, affected, reason } = done;
    let new = NewOperatorAction { actor, action: action.as_str(), filter, matched, affected, reason };
    if let Err(error) = state.store.audit.record(&new, now()).await {
        tracing::error!(%error, user_id = %actor, action = new.action, matched, affected, "Action is not in the audit trail");
    }
    state.changes.send_modify(|count| *count = count.wrapping_add(1));
}
