//! L2: the cache's operations in Redis, behind a circuit breaker.

use std::time::{Duration, Instant};

use bytes::Bytes;
use examhall_redis::{Connection, Route, Value};
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Semaphore;

use crate::{
    Error,
    acquire::{Acquired, LeaseToken, Refresh},
    breaker::Breaker,
    connection::{BULK_TIMEOUT, busy_aware_sleep, command, connect, is_absence},
    keys::RedisKeys,
    pressure::CpuPressure,
    script,
    trust::{Losses, Trust, TrustState},
};

/// Time limit of a small command.
const TIMEOUT: Duration = Duration::from_millis(50);
/// How long Redis may answer nobody until it counts as away: a reader waits 50 ms for it at most.
pub(crate) const SILENCE: Duration = Duration::from_millis(40);
/// Such spans that a call waits while Redis answers others.
const MAX_SPANS: u32 = 6;
/// How long a reader waits for Redis that knows that another process loads.
const BUSY_TIMEOUT: Duration = Duration::from_millis(250);
/// Larger values are written on a connection of their own, so that small ones do not wait behind them; in bytes.
const BULK: usize = 32 * 1024;
/// Length from which values are read on it, too, by a second command; in bytes.
const LARGE: i64 = 256 * 1024;
/// Time allowed per byte of a large value.
const PER_BYTE: Duration = Duration::from_nanos(250);
/// Acquisitions that wait for Redis at once.
const TURNS: usize = 128;
/// Keys that one script acquires, for which Redis serves nobody else.
const KEYS_PER_SCRIPT: usize = 64;
/// Duration of a lease, unless renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// Interval of renewals: three attempts before the lease ends.
pub(crate) const RENEW_EVERY: Duration = Duration::from_millis(300);
/// How long it is remembered that a value is too large for Redis.
const UNSTORED: Duration = Duration::from_mins(1);
/// How long a mark prevents fills: longer than a commit may take.
const MARK: Duration = Duration::from_secs(10);
/// How long Redis remembers what was cleared: longer than commits are unsettled in the journal, and the journal unread.
const REMEMBER: Duration = Duration::from_mins(2);
/// Time to live of a process's canary.
const CANARY: Duration = Duration::from_hours(1);

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

    /// Returns whether the circuit is open.
    pub(crate) fn is_circuit_open(&self) -> bool {
        self.breaker.lock().is_open()
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

    /// Reads it again at once: it has just shown that it answers.
    fn close_circuit(&self) {
        self.count(Breaker::succeeded);
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

    /// Returns the value, or the lease with which to load it.
    pub(crate) async fn acquire(&self, keys: &RedisKeys, refresh: Refresh) -> Result<Acquired, Error> {
        let token = LeaseToken::draw();
        // Not more at once than are answered in time: what waits in this process is not Redis's delay.
        let _turn = self.turns.acquire().await;
        let answer = self.guarded(self.ask(keys, &token, refresh, BULK_TIMEOUT)).await;
        self.acquired(keys, token, answer).await
    }

    /// As [`acquire`](Self::acquire) without a refresh, for many keys in one round trip; in a cluster they are in many slots.
    pub(crate) async fn acquire_many(&self, keys: &[RedisKeys]) -> Vec<Result<Acquired, Error>> {
        if self.commands.is_clustered() || keys.len() == 1 {
            return join_all(keys.iter().map(|keys| self.acquire(keys, Refresh::Never))).await;
        }
        join_all(keys.chunks(KEYS_PER_SCRIPT).map(|keys| self.acquire_in_one_script(keys)))
            .await
            .into_iter()
            .flatten()
            .collect()
    }

    async fn acquire_in_one_script(&self, keys: &[RedisKeys]) -> Vec<Result<Acquired, Error>> {
        let tokens: Vec<_> = keys.iter().map(|_| LeaseToken::draw()).collect();
        let args = [ms(LEASE), LARGE.into()].into_iter().chain(tokens.iter().map(LeaseToken::to_arg)).collect();
        let names: Vec<&str> = keys.iter().flat_map(|keys| &keys.names).map(String::as_str).collect();
        let answer = self.guarded(script::ACQUIRE_MANY.run(&self.bulk, BULK_TIMEOUT, &names, args)).await;
        let is_bypassed = matches!(answer, Err(Error::Bypassed));
        let mut answers = answer.map(Value::into_array).unwrap_or_default().into_iter();
        let acquired = keys.iter().zip(tokens).map(|(keys, token)| {
            let refused = if is_bypassed { Error::Bypassed } else { Error::Slow };
            self.acquired(keys, token, answers.next().ok_or(refused))
        });
        join_all(acquired).await
    }

    /// Returns the value, or the lease if there is none. If another process `is_loading`, it waits longer, even if the
    /// circuit is open: that load goes on meanwhile, and a second one would take as long.
    pub(crate) async fn acquire_value(&self, keys: &RedisKeys, is_loading: bool) -> Result<Acquired, Error> {
        if !is_loading {
            return self.acquire(keys, Refresh::Never).await;
        }
        let token = LeaseToken::draw();
        let answer = self.ask(keys, &token, Refresh::Never, BUSY_TIMEOUT).await;
        if answer.is_ok() {
            self.note(&answer);
        }
        self.acquired(keys, token, answer).await
    }

    async fn ask(
        &self,
        keys: &RedisKeys,
        token: &LeaseToken,
        refresh: Refresh,
        timeout: Duration,
    ) -> Result<Value, Error> {
        let (longest_ttl, unreadable) = refresh.into_args();
        let args = [token.to_arg(), ms(LEASE), longest_ttl, LARGE.into()].into_iter().chain(unreadable).collect();
        script::ACQUIRE.run(&self.commands, timeout, &keys.names, args).await
    }

    async fn acquired(
        &self,
        keys: &RedisKeys,
        token: LeaseToken,
        answer: Result<Value, Error>,
    ) -> Result<Acquired, Error> {
        match answer.map(|answer| Acquired::of(answer, token.clone(), keys.space)) {
            Ok(Acquired::Large { bytes, ttl }) => {
                let value = self.large(&keys.names[0], bytes).await?;
                // If it was removed meanwhile, it is worth asking again soon.
                Ok(value.map_or(Acquired::Busy, |bytes| Acquired::Value { bytes, ttl }))
            }
            Ok(acquired) => Ok(acquired),
            Err(Error::Bypassed) => Err(Error::Bypassed),
            Err(error) => {
                self.release_in_background(keys, &token); // the acquisition may still arrive
                Err(error)
            }
        }
    }

    /// Reads a large value. While it arrives nothing else does on its connection.
    async fn large(&self, name: &str, bytes: usize) -> Result<Option<Bytes>, Error> {
        command(&self.bulk, large_timeout(bytes), "GET", Route::Key(name), vec![name.into()]).await
    }

    /// Stores a value, if nothing was invalidated since its lease was granted. Returns whether it was stored.
    pub(crate) async fn fill(
        &self,
        keys: &RedisKeys,
        token: LeaseToken,
        value: Bytes,
        ttl: Duration,
    ) -> Result<bool, Error> {
        let bytes = value.len();
        let args = vec![token.to_arg(), Value::Bytes(value), ms(ttl)];
        // Sent even if the breaker is open: the lease was granted, and other readers wait for this value.
        let (connection, timeout) =
            if bytes > BULK { (&self.bulk, large_timeout(bytes)) } else { (&self.commands, TIMEOUT) };
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
        if let Err(error) = self.give_back(keys, token, Duration::ZERO).await {
            tracing::debug!(%error, "a lease was not released, and expires");
        }
    }

    /// Releases a lease whose value is too large to be stored: until it is invalidated, every process loads for itself.
    /// Returns whether nothing was invalidated since the lease was granted.
    pub(crate) async fn release_unstored(&self, keys: &RedisKeys, token: &LeaseToken) -> Result<bool, Error> {
        self.give_back(keys, token, UNSTORED).await
    }

    async fn give_back(&self, keys: &RedisKeys, token: &LeaseToken, unstored: Duration) -> Result<bool, Error> {
        let args = vec![token.to_arg(), ms(unstored)];
        let released: i64 = script::RELEASE.run(&self.commands, TIMEOUT, &keys.names, args).await?;
        Ok(released == 1)
    }

    fn release_in_background(&self, keys: &RedisKeys, token: &LeaseToken) {
        let args = vec![token.to_arg(), ms(Duration::ZERO)];
        let (commands, names) = (self.commands.clone(), keys.names.clone());
        tokio::spawn(async move { script::RELEASE.run::<()>(&commands, BULK_TIMEOUT, &names, args).await });
    }

    /// As [`invalidate`](Self::invalidate), for keys that one script may take.
    pub(crate) async fn invalidate_all(&self, keys: &[RedisKeys], kind: InvalidationKind<'_>) -> Result<(), Error> {
        let (kind, commit) = match kind {
            InvalidationKind::Mark(commit) => ("mark", commit),
            InvalidationKind::Clear(commit) => ("clear", commit),
            InvalidationKind::Unmark(commit) => ("unmark", commit),
            InvalidationKind::Delete => ("delete", ""),
        };
        let args = vec![kind.into(), commit.into(), ms(MARK), ms(REMEMBER)];
        let names: Vec<&str> = keys.iter().flat_map(|keys| &keys.names).map(String::as_str).collect();
        let began = Instant::now();
        let answer = script::INVALIDATE.run(&self.commands, TIMEOUT, &names, args).await;
        if matches!(answer, Err(Error::Slow)) {
            self.waited_in_vain(began);
        }
        answer
    }

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

    /// Closes the circuit if commands are answered as fast as they should be.
    async fn close_circuit_if_answered(&self) {
        if !self.breaker.lock().is_open() {
            return;
        }
        if command::<()>(&self.commands, SILENCE, "PING", Route::Any, vec![]).await.is_ok() {
            self.close_circuit();
        }
    }

    /// Waits for an answer unless the circuit is open, and opens it if Redis answers nobody. While it answers others, or
    /// this machine has no CPU for it, a call waits longer: to give up on a server that is merely busy would load what
    /// another process is loading.
    async fn guarded<R>(&self, answer: impl Future<Output = Result<R, Error>>) -> Result<R, Error> {
        if !self.breaker.lock().admits(Instant::now()) {
            return Err(Error::Bypassed);
        }
        tokio::pin!(answer);
        for _ in 0..MAX_SPANS {
            let began = Instant::now();
            let is_busy = tokio::select! {
                biased;
                answer = &mut answer => {
                    self.note(&answer);
                    return answer;
                }
                is_busy = silence() => is_busy,
            };
            if !is_busy && !self.has_answered_since(began) {
                self.count(Breaker::silent);
                return Err(Error::Slow);
            }
        }
        self.count(Breaker::failed);
        Err(Error::Slow)
    }

    /// Opens the circuit if Redis has answered nobody since this call began, which has waited long enough.
    pub(crate) fn waited_in_vain(&self, began: Instant) {
        if !self.has_answered_since(began) {
            self.count(Breaker::silent);
        }
    }

    fn note<R>(&self, answer: &Result<R, Error>) {
        let is_failure = answer.as_ref().is_err_and(is_absence);
        self.count(if is_failure { Breaker::failed } else { Breaker::succeeded });
    }

    fn count(&self, result: fn(&mut Breaker, Instant)) {
        let mut breaker = self.breaker.lock();
        result(&mut breaker, Instant::now());
        self.publish(breaker.is_open());
    }

    /// Returns whether Redis has answered anything, on any connection.
    fn has_answered_since(&self, moment: Instant) -> bool {
        let is_since = |connection: &Connection| connection.answered_within(moment.elapsed());
        self.heard.lock().is_some_and(|heard| heard >= moment) || is_since(&self.commands) || is_since(&self.bulk)
    }
}

fn large_timeout(bytes: usize) -> Duration {
    BULK_TIMEOUT + PER_BYTE * u32::try_from(bytes).unwrap_or(u32::MAX)
}

/// Sleeps for [`SILENCE`]. Returns whether this machine was busy. Most answers come before that is looked at.
async fn silence() -> bool {
    busy_aware_sleep(SILENCE / 4).await;
    let pressure = CpuPressure::now();
    busy_aware_sleep(SILENCE * 3 / 4).await;
    pressure.was_high()
}

fn ms(span: Duration) -> Value {
    span.as_millis().to_string().into()
}
