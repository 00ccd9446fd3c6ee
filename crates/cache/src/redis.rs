//! L2: the cache's operations in Redis, behind a circuit breaker.

mod circuit;
mod heartbeat;
mod leases;

use std::time::{Duration, Instant};

use bytes::Bytes;
use examhall_redis::{Connection, Route, Value};
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
    connection::{BULK_TIMEOUT, command, connect},
    keys::RedisKeys,
    script,
    trust::{Losses, Trust, TrustState},
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

pub(crate) struct Redis {
    commands: Connection,
    bulk: Connection,
    breaker: Mutex<Breaker>,
    turns: Semaphore,
    /// When a heartbeat was answered last, on a connection of its own.
    heard: Mutex<Option<Instant>>,
    trust: TrustState,
}

impl Redis {
    pub(crate) fn open(url: &str) -> Result<Self, Error> {
        let redis = Self {
            commands: connect(url)?,
            bulk: connect(url)?,
            breaker: Mutex::new(Breaker::new(Instant::now())),
            turns: Semaphore::new(TURNS),
            heard: Mutex::new(None),
            trust: TrustState::new(),
        };
        redis.publish(false);
        Ok(redis)
    }

    /// Returns the connection of most commands.
    pub(crate) fn commands(&self) -> &Connection {
        &self.commands
    }

    pub(crate) async fn close(&self) {
        for connection in [&self.commands, &self.bulk] {
            connection.close().await;
        }
    }

    pub(crate) async fn ready(&self) -> Result<(), Error> {
        self.commands.ready().await?;
        Ok(self.bulk.ready().await?)
    }

    /// Returns whether it answers, and its values may be read.
    pub(crate) fn is_well(&self) -> bool {
        self.is_trusted() && !self.is_circuit_open()
    }

    /// Returns how far its values may be trusted.
    pub(crate) fn trust(&self) -> Trust {
        self.trust.get()
    }

    pub(crate) fn is_trusted(&self) -> bool {
        self.trust() == Trust::Trusted
    }

    /// Stops reading its values.
    pub(crate) fn distrust(&self) {
        self.trust.lose();
        self.publish(self.breaker.lock().is_open());
    }

    /// Returns the time since trust was lost last; `None` if its values are not trusted at all.
    pub(crate) fn reachable_since_loss(&self) -> Option<Duration> {
        self.trust.reachable_since_loss()
    }

    /// Returns how often trust was lost, for [`settle`](Self::settle).
    pub(crate) fn losses(&self) -> Losses {
        self.trust.losses()
    }

    /// Sets how far its values may be trusted, unless trust was lost again after `losses` was read.
    pub(crate) fn settle(&self, losses: Losses, trust: Trust) {
        if self.trust.settle(losses, trust) {
            self.close_circuit();
        }
    }

    fn publish(&self, is_open: bool) {
        metrics::gauge!("cache_breaker_state").set(f64::from(u8::from(is_open || !self.is_trusted())));
        metrics::gauge!("cache_trust").set(f64::from(self.trust() as u8));
    }

    /// Connects again: its connections may lead to a server that is not the master any more.
    pub(crate) async fn reconnect(&self) {
        for connection in [&self.commands, &self.bulk] {
            connection.reconnect().await;
        }
    }

    /// Waits a moment if Redis was replaced just now, until recent invalidations have been repeated to it.
    pub(crate) async fn wait_if_just_replaced(&self) {
        if self.commands.is_connected() {
            self.trust.wait_if_just_lost().await;
        }
    }

    /// Waits a moment for a connection that was lost just now to be made again.
    pub(crate) async fn wait_until_reachable(&self) {
        self.trust.wait_until_reachable().await;
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
