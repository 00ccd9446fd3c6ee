//! L2: the cache's operations in Redis, behind a circuit breaker.

mod circuit;
mod heartbeat;
mod leases;
mod state;

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use examhall_redis::{ClusterMaster, Connection, Route, Value};
use parking_lot::Mutex;
use tokio::sync::Semaphore;

pub(crate) use self::{
    circuit::{SILENCE, Wait},
    heartbeat::{HeartbeatReply, HeartbeatWrite},
    leases::{LEASE, RENEW_EVERY},
};
use crate::{
    Error,
    breaker::Breaker,
    connection::{BULK_TIMEOUT, command},
    health::Health,
    keys::RedisKeys,
    script,
    slot_table::ServerNumber,
    trust::TrustState,
};

/// Time limit of a small command.
const TIMEOUT: Duration = Duration::from_millis(50);
/// Length from which values are read on it, too, by a second command; in bytes.
const LARGE: i64 = 256 * 1024;
/// Acquisitions that wait for Redis at once.
const TURNS: usize = 128;
/// How long a mark prevents fills: longer than a commit may take.
const MARK: Duration = Duration::from_secs(10);
/// How long Redis remembers what was cleared: longer than commits are unsettled in the journal, and the journal unread.
const REMEMBER: Duration = Duration::from_mins(2);

/// Why a key is invalidated.
#[derive(Clone, Copy)]
pub(crate) enum InvalidationKind<'a> {
    /// This commit is about to change it.
    Mark(&'a str),
    /// This commit has ended: what is read from now on includes it.
    Clear(&'a str),
    /// It is not known whether this commit has ended, and its mark is taken back.
    Unmark(&'a str),
    /// There is no commit, or it is not known whether it has ended.
    Delete,
}

/// One server: the only one, or a master of a cluster.
pub(crate) struct Redis {
    pub(crate) number: ServerNumber,
    /// Which master of a cluster it is.
    pub(crate) master: Option<ClusterMaster>,
    commands: Connection,
    bulk: Connection,
    breaker: Mutex<Breaker>,
    turns: Semaphore,
    /// When a heartbeat was answered last, on a connection of its own.
    heard: Mutex<Option<Instant>>,
    /// When the heartbeat was sent that has proven its link last.
    proven: Mutex<Option<Instant>>,
    trust: TrustState,
    health: Arc<Health>,
}

impl Redis {
    /// Uses this connection and a second one to the same server.
    pub(crate) fn new(
        number: ServerNumber,
        master: Option<ClusterMaster>,
        commands: Connection,
        health: Arc<Health>,
    ) -> Self {
        health.add(number);
        Self {
            number,
            master,
            bulk: commands.duplicate(),
            commands,
            breaker: Mutex::new(Breaker::new(Instant::now())),
            turns: Semaphore::new(TURNS),
            heard: Mutex::new(None),
            proven: Mutex::new(None),
            trust: TrustState::new(),
            health,
        }
    }

    /// Returns whether it is this master of a cluster.
    pub(crate) fn is(&self, master: &ClusterMaster) -> bool {
        self.master.as_ref() == Some(master)
    }

    /// Returns a name for logs and metrics: the beginning of its ID in a cluster, empty for the only one.
    pub(crate) fn label(&self) -> String {
        self.master.as_ref().map_or_else(String::new, |master| master.id.chars().take(8).collect())
    }

    /// Returns the connection of most commands.
    pub(crate) fn commands(&self) -> &Connection {
        &self.commands
    }

    pub(crate) async fn close(&self) {
        for connection in [&self.commands, &self.bulk] {
            connection.close().await;
        }
        self.health.forget(self.number);
    }

    /// Connects again: its connections may lead to a server that is not the master any more.
    pub(crate) async fn reconnect(&self) {
        for connection in [&self.commands, &self.bulk] {
            connection.reconnect().await;
        }
    }

    /// Reads a value without loading it.
    pub(crate) async fn peek(&self, name: &str) -> Result<Option<Bytes>, Error> {
        let (keys, args) = ([name.to_owned()], vec![LARGE.into()]);
        match self.guarded(script::PEEK.run(&self.commands, BULK_TIMEOUT, &keys, args)).await? {
            Value::Integer(bytes) => self.large(name, usize::try_from(bytes).unwrap_or(0)).await,
            value => Ok(value.into_bytes()),
        }
    }

    /// Returns the remaining time to live of a value; zero if there is none.
    pub(crate) async fn ttl(&self, name: &str) -> Result<Duration, Error> {
        let args = vec![name.into()];
        let ttl: i64 = self.guarded(command(&self.commands, BULK_TIMEOUT, "PTTL", Route::Key(name), args)).await?;
        Ok(Duration::from_millis(ttl.try_into().unwrap_or(0)))
    }

    /// Returns the first bytes of a value; none if there is no value.
    pub(crate) async fn beginning(&self, name: &str, bytes: usize) -> Result<Bytes, Error> {
        let args = vec![name.into(), "0".into(), (bytes - 1).to_string().into()];
        command(&self.commands, TIMEOUT, "GETRANGE", Route::Key(name), args).await
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        command(&self.commands, BULK_TIMEOUT, "PING", Route::Any, vec![]).await
    }

    /// Removes the values of keys, and the leases under which older ones could be stored, by one script.
    pub(crate) async fn invalidate_all(&self, keys: &[RedisKeys], kind: InvalidationKind<'_>) -> Result<(), Error> {
        let (kind, commit) = match kind {
            InvalidationKind::Mark(commit) => ("mark", commit),
            InvalidationKind::Clear(commit) => ("clear", commit),
            InvalidationKind::Unmark(commit) => ("unmark", commit),
            InvalidationKind::Delete => ("delete", ""),
        };
        let args = vec![kind.into(), commit.into(), ms(MARK), ms(REMEMBER)];
        let names: Vec<&str> = keys.iter().flat_map(|keys| &keys.names).map(String::as_str).collect();
        let wait = Wait::begin();
        let answer = script::INVALIDATE.run(&self.commands, TIMEOUT, &names, args).await;
        if matches!(answer, Err(Error::Slow)) {
            self.waited_in_vain(wait);
        }
        answer
    }
}

fn ms(span: Duration) -> Value {
    span.as_millis().to_string().into()
}
