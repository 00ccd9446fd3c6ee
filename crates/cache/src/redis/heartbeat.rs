//! Heartbeats, and what they prove.

use std::time::{Duration, Instant};

use examhall_redis::Connection;

use super::{Redis, ms};
use crate::{Error, connection::BULK_TIMEOUT, script};

/// Time to live of a process's canary.
const CANARY: Duration = Duration::from_hours(1);

/// Answer to a heartbeat.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HeartbeatReply {
    /// Number of the heartbeat that created the canary: it changes if Redis was flushed. `None` if there is no canary and
    /// Redis is full.
    pub(crate) created: Option<i64>,
    pub(crate) write: HeartbeatWrite,
}

/// What became of a heartbeat's write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeartbeatWrite {
    Done,
    /// Redis takes no writes.
    Refused,
    /// Redis is full; deletions still work.
    Full,
}

impl Redis {
    pub(crate) async fn heartbeat(
        &self,
        connection: &Connection,
        canary: &str,
        number: i64,
    ) -> Result<HeartbeatReply, Error> {
        let (keys, args) = ([canary.to_owned()], vec![ms(CANARY), number.into()]);
        let (created, write) = script::HEARTBEAT.run::<(i64, i64)>(connection, BULK_TIMEOUT, &keys, args).await?;
        *self.heard.lock() = Some(Instant::now());
        self.close_circuit_if_answered().await;
        let write = match write {
            1 => HeartbeatWrite::Done,
            2 => HeartbeatWrite::Full,
            _ => HeartbeatWrite::Refused,
        };
        Ok(HeartbeatReply { created: Some(created).filter(|created| *created > 0), write })
    }

    /// Returns the number of the last heartbeat that this server has seen; `None` if it has seen none.
    pub(crate) async fn seen_heartbeat(&self, canary: &str) -> Result<Option<i64>, Error> {
        let seen = self.peek(canary).await?;
        Ok(seen.and_then(|seen| std::str::from_utf8(&seen).ok()?.rsplit_once(':')?.1.parse().ok()))
    }
}
