//! Index of the mails that are held or in doubt, which the ledger's entries alone would not tell without reading all.

use examhall_core::EmailJob;
use examhall_redis::{Connection, Route};

use super::{DeliveryState, LedgerEntry};
use crate::Error;

/// Why a mail may wait for an operator's decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// It may have been delivered, and an operator decides.
    Held,
    /// It may have been delivered, and it is tried again or has failed.
    InDoubt,
}

impl Doubt {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Held, Self::InDoubt];

    /// The doubt about the mail of an entry. An intent may be that of an attempt that goes on: only who knows that it has
    /// ended calls it a doubt.
    pub fn of(entry: &LedgerEntry) -> Option<Self> {
        match entry.state {
            DeliveryState::Held => Some(Self::Held),
            DeliveryState::Intent | DeliveryState::Deferred if entry.in_doubt => Some(Self::InDoubt),
            _ => None,
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Held => EmailJob::HELD_KEY,
            Self::InDoubt => EmailJob::IN_DOUBT_KEY,
        }
    }

    /// Adds a mail, and forgets those since before `oldest`, in ms since 1970.
    pub(super) async fn add(self, connection: &Connection, job_id: &str, at: i64, oldest: i64) -> Result<(), Error> {
        let (key, route) = (self.key(), Route::Key(self.key()));
        let old = vec![key.into(), "-inf".into(), oldest.to_string().into()];
        connection.command::<i64>("ZREMRANGEBYSCORE", route, old).await?;
        connection.command::<i64>("ZADD", route, vec![key.into(), at.to_string().into(), job_id.into()]).await?;
        Ok(())
    }

    pub(super) async fn remove(self, connection: &Connection, job_id: &str) -> Result<(), Error> {
        connection.command::<i64>("ZREM", Route::Key(self.key()), vec![self.key().into(), job_id.into()]).await?;
        Ok(())
    }

    pub(super) async fn list(self, connection: &Connection, skip: u32, count: u32) -> Result<Vec<String>, Error> {
        if count == 0 {
            return Ok(Vec::new());
        }
        let last = i64::from(skip) + i64::from(count) - 1;
        let args = vec![self.key().into(), skip.to_string().into(), last.to_string().into()];
        Ok(connection.command("ZREVRANGE", Route::Key(self.key()), args).await?)
    }

    pub(super) async fn count(self, connection: &Connection) -> Result<u64, Error> {
        Ok(connection.command("ZCARD", Route::Key(self.key()), vec![self.key().into()]).await?)
    }
}
