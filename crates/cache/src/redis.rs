//! L2: the cache's operations in Redis, behind a circuit breaker.

use std::time::{Duration, Instant};

use bytes::Bytes;
use examhall_redis::{Connection, FromValue, Route, Value};
use parking_lot::Mutex;

use crate::{
    Error,
    acquire::{Acquired, LeaseToken, Refresh},
    breaker::Breaker,
    connection::{BULK_TIMEOUT, busy_aware_sleep, command, connect, is_absence},
    keys::RedisKeys,
    script::{self, Step},
    trust::Trust,
};

/// Silence of Redis that counts as a failure.
const TIMEOUT: Duration = Duration::from_millis(50);
/// Larger values use a connection of their own, so that small ones do not wait behind them; in bytes.
const BULK: usize = 32 * 1024;
/// Duration of a lease, unless renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// Interval of renewals: three attempts before the lease ends.
pub(crate) const RENEW_EVERY: Duration = Duration::from_millis(300);
/// How long a mark prevents fills: longer than a commit may take.
const MARK: Duration = Duration::from_secs(10);
/// Time to live of a process's canary.
const CANARY: Duration = Duration::from_hours(1);

/// Why a key is invalidated.
#[derive(Clone, Copy)]
pub(crate) enum InvalidationKind<'a> {
    /// This commit is about to change it.
    Mark(&'a str),
    /// This commit has succeeded or failed.
    Clear(&'a str),
    /// There is no commit.
    Delete,
}

/// Answer to a heartbeat.
pub(crate) struct HeartbeatReply {
    /// Number of the heartbeat that set the canary.
    pub(crate) canary: i64,
    pub(crate) takes_writes: bool,
}

pub(crate) struct Redis {
    commands: Connection,
    bulk: Connection,
    breaker: Mutex<Breaker>,
    trust: Trust,
}

impl Redis {
    pub(crate) fn open(url: &str) -> Result<Self, Error> {
        let redis = Self {
            commands: connect(url)?,
            bulk: connect(url)?,
            breaker: Mutex::new(Breaker::new(Instant::now())),
            trust: Trust::new(),
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

    /// Returns whether its values may be read.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trust.is_trusted()
    }

    /// Stops reading its values.
    pub(crate) fn distrust(&self) {
        self.trust.lose();
        self.publish(self.breaker.lock().is_open());
    }

    /// Returns how often trust was lost, for [`trust`](Self::trust).
    pub(crate) fn losses(&self) -> u64 {
        self.trust.losses()
    }

    /// Reads its values again, unless trust was lost again after `losses` was read.
    pub(crate) fn trust(&self, losses: u64) {
        self.trust.regain(losses);
        self.publish(self.breaker.lock().is_open());
    }

    fn publish(&self, is_open: bool) {
        metrics::gauge!("cache_breaker_state").set(f64::from(u8::from(is_open || !self.is_trusted())));
    }

    /// Waits a moment if Redis was replaced just now, until recent invalidations have been repeated to it.
    pub(crate) async fn wait_if_just_replaced(&self) {
        if self.commands.is_connected() {
            self.trust.wait_if_just_lost().await;
        }
    }

    /// Reads a value without loading it.
    pub(crate) async fn peek(&self, name: &str) -> Result<Option<Bytes>, Error> {
        command(&self.commands, TIMEOUT, "GET", Route::Key(name), vec![name.into()]).await
    }

    /// Returns the remaining time to live of a value; zero if there is none.
    pub(crate) async fn ttl(&self, name: &str) -> Result<Duration, Error> {
        let ttl: i64 = command(&self.commands, TIMEOUT, "PTTL", Route::Key(name), vec![name.into()]).await?;
        Ok(Duration::from_millis(ttl.try_into().unwrap_or(0)))
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        command(&self.commands, BULK_TIMEOUT, "PING", Route::Any, vec![]).await
    }

    /// Returns the value, or the lease with which to load it.
    pub(crate) async fn acquire(&self, keys: &RedisKeys, refresh: Refresh) -> Result<Acquired, Error> {
        let token = LeaseToken::draw();
        let args = vec![token.to_arg(), ms(LEASE), refresh.to_arg()];
        match self.guarded(&script::ACQUIRE, keys, args).await {
            Ok(answer) => Ok(Acquired::of(answer, token, keys.space)),
            Err(Error::Bypassed) => Err(Error::Bypassed),
            Err(error) => {
                self.release_in_background(keys, &token); // the acquisition may still arrive
                Err(error)
            }
        }
    }

    /// Stores a value, if nothing was invalidated since its lease was granted. Returns whether it was stored.
    pub(crate) async fn fill(
        &self,
        keys: &RedisKeys,
        token: LeaseToken,
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, Error> {
        let is_large = value.len() > BULK;
        let args = vec![token.to_arg(), Value::Bytes(value), ms(ttl)];
        // Sent even if the breaker is open: the lease was granted, and other readers wait for this value.
        let (connection, timeout) = if is_large { (&self.bulk, BULK_TIMEOUT) } else { (&self.commands, TIMEOUT) };
        let stored = script::FILL.run(connection, timeout, &keys.names, args).await.map(|code: i64| code == 1);
        let result = match &stored {
            Ok(true) => "ok",
            Ok(false) => "rejected",
            Err(_) => "error",
        };
        metrics::counter!("cache_fill_total", "result" => result, "ns" => keys.space).increment(1);
        stored
    }

    /// Renews a lease. Sent even if the breaker is open: a lease that ends costs another load.
    pub(crate) async fn renew(&self, keys: &RedisKeys, token: &LeaseToken) {
        let args = vec![token.to_arg(), ms(LEASE)];
        if let Err(error) = script::RENEW.run::<()>(&self.commands, RENEW_EVERY, &keys.names, args).await {
            tracing::debug!(%error, "a lease was not renewed");
        }
    }

    pub(crate) async fn release(&self, keys: &RedisKeys, token: &LeaseToken) {
        let released = script::RELEASE.run::<()>(&self.commands, TIMEOUT, &keys.names, vec![token.to_arg()]);
        if let Err(error) = released.await {
            tracing::debug!(%error, "a lease was not released, and expires");
        }
    }

    fn release_in_background(&self, keys: &RedisKeys, token: &LeaseToken) {
        let (commands, names, args) = (self.commands.clone(), keys.names.clone(), vec![token.to_arg()]);
        tokio::spawn(async move { script::RELEASE.run::<()>(&commands, BULK_TIMEOUT, &names, args).await });
    }

    /// Removes a value, and the lease under which an older one could be stored.
    pub(crate) async fn invalidate(&self, keys: &RedisKeys, kind: InvalidationKind<'_>) -> Result<(), Error> {
        let (kind, commit) = match kind {
            InvalidationKind::Mark(commit) => ("mark", commit),
            InvalidationKind::Clear(commit) => ("clear", commit),
            InvalidationKind::Delete => ("delete", ""),
        };
        let args = vec![kind.into(), commit.into(), ms(MARK)];
        script::INVALIDATE.run(&self.commands, TIMEOUT, &keys.names, args).await
    }

    pub(crate) async fn heartbeat(
        &self,
        connection: &Connection,
        canary: &str,
        number: i64,
    ) -> Result<HeartbeatReply, Error> {
        let (keys, args) = ([canary.to_owned()], vec![ms(CANARY), number.into()]);
        let answer = script::HEARTBEAT.run::<(i64, i64)>(connection, BULK_TIMEOUT, &keys, args).await?;
        Ok(HeartbeatReply { canary: answer.0, takes_writes: answer.1 == 1 })
    }

    /// Runs a step unless the circuit is open. While Redis is silent it waits until the circuit opens: to give up after one
    /// silence, on a machine that is merely busy, would load what another process is loading.
    async fn guarded<R: FromValue>(&self, step: &'static Step, keys: &RedisKeys, args: Vec<Value>) -> Result<R, Error> {
        if !self.breaker.lock().admits(Instant::now()) {
            return Err(Error::Bypassed);
        }
        let answer = step.run(&self.commands, BULK_TIMEOUT, &keys.names, args);
        tokio::pin!(answer);
        let mut is_late = false;
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut answer => break answer,
                () = busy_aware_sleep(TIMEOUT) => {
                    is_late = true;
                    if self.breaker.lock().silent(Instant::now(), TIMEOUT) {
                        break Err(Error::Slow);
                    }
                }
            }
        };
        let is_failure = answer.as_ref().is_err_and(is_absence);
        let mut breaker = self.breaker.lock();
        match (is_failure, is_late) {
            (false, false) => breaker.succeeded(Instant::now()),
            (true, false) => breaker.failed(Instant::now()),
            (_, true) => {} // its silence was counted
        }
        self.publish(breaker.is_open());
        answer
    }
}

fn ms(span: Duration) -> Value {
    span.as_millis().to_string().into()
}
