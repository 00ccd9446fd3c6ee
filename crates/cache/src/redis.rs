//! L2: the cache's operations in Redis, behind a circuit breaker.

mod circuit;
mod glance;
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
    circuit::Wait,
    heartbeat::{HeartbeatReply, HeartbeatWrite},
};
use crate::{
    Error, acquire::to_ttl, breaker::Breaker, connection::command, health::Health, keys::RedisKeys, script,
    slot_table::ServerNumber, trust::TrustState,
};

/// Length from which values are read on it, too, by a second command; in bytes.
const LARGE: i64 = 256 * 1024;
/// Acquisitions that wait for Redis at once.
const TURNS: usize = 128;

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

/// A value, with its remaining time to live; `None` if that has no end.
pub(crate) type StoredValue = (Bytes, Option<Duration>);

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

    /// Returns the connection of what takes long. They are made one after the other: until there are two, one does for all.
    fn bulk(&self) -> &Connection {
        if self.bulk.is_connected() { &self.bulk } else { &self.commands }
    }

    pub(crate) async fn close(&self) {
        for connection in [&self.commands, &self.bulk] {
            connection.close().await;
        }
        self.health.forget(self.number);
    }

    /// Returns the interval at which leases are renewed.
    pub(crate) fn renewal(&self) -> Duration {
        self.health.settings.renewal()
    }

    /// Connects again: its connections may lead to a server that is not the master any more.
    pub(crate) async fn reconnect(&self) {
        for connection in [&self.commands, &self.bulk] {
            connection.reconnect().await;
        }
    }

    /// Reads a key of the cache's own.
    pub(crate) async fn peek(&self, name: &str) -> Result<Option<Bytes>, Error> {
        Ok(self.look_at(&[name], 0).await?.map(|(value, _)| value))
    }

    /// Reads a value without loading it, with its remaining time to live; `None` if there is none, or a group of it was
    /// invalidated.
    pub(crate) async fn value(&self, keys: &RedisKeys) -> Result<Option<StoredValue>, Error> {
        self.look_at(&keys.all().collect::<Vec<_>>(), 0).await
    }

    /// As [`value`](Self::value), of the value only the first bytes.
    pub(crate) async fn beginning(&self, keys: &RedisKeys, bytes: usize) -> Result<Option<StoredValue>, Error> {
        self.look_at(&keys.all().collect::<Vec<_>>(), bytes).await
    }

    async fn look_at(&self, names: &[&str], beginning: usize) -> Result<Option<StoredValue>, Error> {
        let args = vec![LARGE.into(), beginning.to_string().into()];
        let answer: Value =
            self.guarded(script::PEEK.run(&self.commands, self.health.settings.bulk_timeout, names, args)).await?;
        let mut answer = answer.into_array().into_iter();
        let value = match answer.next() {
            Some(Value::Integer(bytes)) => self.large(names[0], usize::try_from(bytes).unwrap_or(0)).await?,
            Some(value) => value.into_bytes(),
            None => None,
        };
        Ok(value.map(|value| (value, to_ttl(answer.next()))))
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        command(&self.commands, self.health.settings.bulk_timeout, "PING", Route::Any, vec![]).await
    }

    /// Removes the values of keys, and the leases under which older ones could be stored, by one script.
    pub(crate) async fn invalidate_all(&self, keys: &[RedisKeys], kind: InvalidationKind<'_>) -> Result<(), Error> {
        let (kind, commit) = match kind {
            InvalidationKind::Mark(commit) => ("mark", commit),
            InvalidationKind::Clear(commit) => ("clear", commit),
            InvalidationKind::Unmark(commit) => ("unmark", commit),
            InvalidationKind::Delete => ("delete", ""),
        };
        let args = vec![kind.into(), commit.into(), ms(self.health.settings.mark), ms(self.health.settings.remember())];
        let names: Vec<&str> = keys.iter().flat_map(RedisKeys::all).collect();
        let wait = Wait::begin();
        let answer = script::INVALIDATE.run(&self.commands, self.health.settings.redis_timeout, &names, args).await;
        if matches!(answer, Err(Error::Slow)) {
            self.waited_in_vain(wait);
        }
        answer
    }
}

fn ms(span: Duration) -> Value {
    span.as_millis().to_string().into()
}
