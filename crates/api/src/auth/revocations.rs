//! Whose access tokens are refused before their time is over: known in memory, so that checking a token asks nobody.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use examhall_core::UserId;
use examhall_store::{Error, Revocation, Store};
use parking_lot::RwLock;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::ACCESS_TOKEN_LIFE;
/// How often the database is asked: a token must be refused within 2 s.
const POLL: Duration = Duration::from_millis(500);
/// How far the clocks of the database and of the processes may differ.
const CLOCKS: Duration = Duration::from_mins(15);
/// How long a revocation matters: then every token that was issued before it is over.
pub(crate) const REVOCATION_LIFE: Duration = ACCESS_TOKEN_LIFE.saturating_add(CLOCKS);

/// Revoked access. Nearly always there is none, and a check is one atomic load.
#[derive(Default)]
pub(crate) struct Revocations {
    is_any: AtomicBool,
    /// Also by session, where one was ended: ids are never those of both.
    by_user: RwLock<HashMap<UserId, Revocation>>,
}

/// What a token says of when it was issued.
#[derive(Clone, Copy, Debug)]
pub(super) struct Issue {
    /// The account's generation; none in tokens of earlier releases.
    pub(super) generation: Option<i64>,
    /// In seconds since 1970.
    pub(super) at: i64,
}

impl Revocations {
    /// Asks the database.
    pub(crate) async fn load(&self, store: &Store) -> Result<(), Error> {
        self.replace(store.revocations(REVOCATION_LIFE).await?);
        Ok(())
    }

    pub(super) fn replace(&self, all: Vec<Revocation>) {
        let is_any = !all.is_empty();
        if !is_any && !self.is_any.load(Ordering::Acquire) {
            return;
        }
        // A panic cannot leave the map half-written: it is replaced whole.
        let mut by_user = self.by_user.write();
        *by_user = all.into_iter().map(|revocation| (revocation.user, revocation)).collect();
        self.is_any.store(is_any, Ordering::Release);
    }

    /// Whether the access of an account that began at this generation has been ended.
    pub(crate) fn ended(&self, user: UserId, generation: i64) -> bool {
        self.refuses(user, None, Issue { generation: Some(generation), at: 0 })
    }

    /// Whether tokens of this account that were issued then, in this session, are refused.
    pub(super) fn refuses(&self, user: UserId, session: Option<Uuid>, issue: Issue) -> bool {
        if !self.is_any.load(Ordering::Acquire) {
            return false;
        }
        let by_user = self.by_user.read();
        let ends_account = by_user.get(&user).is_some_and(|revocation| match issue.generation {
            Some(generation) => generation < revocation.min_generation,
            None => issue.at.saturating_mul(1000) <= revocation.at,
        });
        ends_account || session.is_some_and(|session| by_user.contains_key(&UserId(session)))
    }
}

/// Asks the database again and again, until `stop`. While it does not answer, what is known stays known.
pub(crate) async fn watch(store: &Store, revocations: &Revocations, stop: CancellationToken) {
    while stop.run_until_cancelled(tokio::time::sleep(POLL)).await.is_some() {
        if let Err(error) = revocations.load(store).await {
            tracing::debug!(%error, "revocations are not known for now");
        }
    }
}
