//! The level in Redis: the steps of the protocol, and whether Redis can be relied on.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use examhall_redis::{Connection, FromValue, Route, Value};
use tokio::sync::watch;

use crate::{
    Error,
    breaker::Breaker,
    connection::{BULK_TIMEOUT, command, connect, is_absence, turns},
    script::{Names, Step},
};

/// Silence of Redis that counts as a failure.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);
/// How long a read waits while a Redis that was just replaced is told what has changed.
const REGAIN: Duration = Duration::from_millis(50);
/// Larger values go by a connection of their own, so that nobody waits behind them; in bytes.
const BULK: usize = 32 * 1024;
/// How long the right to load lasts, unless renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// How often it is: three chances before it ends.
pub(crate) const RENEW_EVERY: Duration = Duration::from_millis(300);
/// How long a mark bars fills: longer than a commit may take.
const MARK: Duration = Duration::from_secs(10);

/// Whether what Redis holds may be read, and since when that is so. It may not while invalidations may be undone or
/// refused there: until they have been said again.
#[derive(Clone, Copy)]
struct Trust {
    stands: bool,
    since: Instant,
    /// How often it was lost: what was begun before the last time does not regain it.
    losses: u64,
}

/// Answer to an acquisition.
pub(crate) enum Acquired {
    /// It is there, for so long; `None` where it has no end.
    Value(Bytes, Option<Duration>),
    /// The caller loads.
    Lease(Token),
    /// Somebody else loads.
    Busy,
    /// A change is being committed: load, and store nothing.
    Marked,
}

/// Whether a value that is there is to be loaded anew.
#[derive(Clone, Copy)]
pub(crate) enum Anew {
    /// Let it be.
    Never,
    /// If it has no more than this left: nobody has done so since the caller saw it.
    IfLeft(Duration),
    /// In any case.
    Always,
}

/// The right to load: good for one fill, and used up by any invalidation.
#[derive(Clone)]
pub(crate) struct Token(String);

/// Why a key is invalidated.
#[derive(Clone, Copy)]
pub(crate) enum Because<'a> {
    /// A commit is about to change it.
    Mark(&'a str),
    /// The commit has happened, or not.
    Clear(&'a str),
    /// Somebody said so.
    Delete,
}

/// The level in Redis.
pub(crate) struct Redis {
    commands: Connection,
    bulk: Connection,
    spaces: &'static [&'static str],
    breaker: Mutex<Breaker>,
    trust: watch::Sender<Trust>,
}

impl Redis {
    pub(crate) fn open(url: &str, spaces: &'static [&'static str]) -> Result<Self, Error> {
        let redis = Self {
            commands: connect(url)?,
            bulk: connect(url)?,
            spaces,
            breaker: Mutex::new(Breaker::new(Instant::now())),
            trust: watch::Sender::new(Trust { stands: false, since: Instant::now(), losses: 0 }),
        };
        redis.show(false);
        Ok(redis)
    }

    /// The Redis keys of a cache key.
    pub(crate) fn names(&self, key: &str) -> Names {
        Names::of(key, self.spaces)
    }

    /// The connection that most commands go by.
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

    /// Whether what it holds may be read.
    pub(crate) fn is_trusted(&self) -> bool {
        self.trust.borrow().stands
    }

    /// Does not read it from now on.
    pub(crate) fn distrust(&self) {
        self.trust
            .send_modify(|trust| *trust = Trust { stands: false, since: Instant::now(), losses: trust.losses + 1 });
        self.show(self.breaker().is_open());
    }

    /// How often trust was lost, for [`trust`](Self::trust).
    pub(crate) fn losses(&self) -> u64 {
        self.trust.borrow().losses
    }

    /// Reads it from now on, unless trust was lost more often than so.
    pub(crate) fn trust(&self, losses: u64) {
        self.trust.send_if_modified(|trust| {
            let regained = trust.losses == losses;
            trust.stands |= regained;
            regained
        });
        self.show(self.breaker().is_open());
    }

    fn show(&self, is_open: bool) {
        metrics::gauge!("cache_breaker_state").set(f64::from(u8::from(is_open || !self.is_trusted())));
    }

    /// Where Redis was replaced just now, waits for the moment in which it is told what has changed: going on without it
    /// would cost a load in each process.
    pub(crate) async fn settled(&self) {
        let Trust { stands, since, .. } = *self.trust.borrow();
        if !stands && since.elapsed() < REGAIN && self.commands.is_connected() {
            let mut trust = self.trust.subscribe();
            let regained = trust.wait_for(|trust| trust.stands);
            let _ = tokio::time::timeout(REGAIN, regained).await; // either way the caller looks again
        }
    }

    /// The bytes under a key.
    pub(crate) async fn peek(&self, key: &str) -> Result<Option<Bytes>, Error> {
        command(&self.commands, PATIENCE, "GET", Route::Key(key), vec![key.into()]).await
    }

    /// How long what stands under a key stays; nothing where nothing does.
    pub(crate) async fn left(&self, key: &str) -> Result<Duration, Error> {
        let left: i64 = command(&self.commands, PATIENCE, "PTTL", Route::Key(key), vec![key.into()]).await?;
        Ok(Duration::from_millis(left.try_into().unwrap_or(0)))
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        command(&self.commands, BULK_TIMEOUT, "PING", Route::Any, vec![]).await
    }

    /// Gives the value, or the right to load it: where `anew` says so also if the value is there.
    pub(crate) async fn acquire(&self, names: &Names, anew: Anew) -> Result<Acquired, Error> {
        // A token is used once: an acquisition without an answer may still arrive, after an invalidation.
        let token = Token(uuid::Uuid::new_v4().simple().to_string());
        let most_left = match anew {
            Anew::Never => "-1".into(),
            Anew::IfLeft(left) => ms(left),
            Anew::Always => i64::from(u32::MAX).saturating_mul(1_000).to_string().into(),
        };
        let args = vec![token.0.as_str().into(), ms(LEASE), most_left];
        let answer: Value = match self.guarded(Step::Acquire, names, args).await {
            Ok(answer) => answer,
            Err(Error::Bypassed) => return Err(Error::Bypassed),
            Err(error) => {
                self.forgo(names, &token); // it may still arrive
                return Err(error);
            }
        };
        let mut answer = answer.into_array().into_iter();
        let code = answer.next().and_then(|code| code.as_i64());
        let value = answer.next().and_then(Value::into_bytes);
        let left = answer.next().and_then(|left| u64::try_from(left.as_i64()?).ok()).map(Duration::from_millis);
        metrics::counter!("cache_lease_total", "result" => match code {
            Some(1) => "value", Some(2) => "busy", Some(3) => "granted", _ => "marked",
        }, "ns" => names.space)
        .increment(1);
        Ok(match code {
            Some(1) => Acquired::Value(value.unwrap_or_default(), left),
            Some(2) => Acquired::Busy,
            Some(3) => Acquired::Lease(token),
            _ => Acquired::Marked,
        })
    }

    /// Stores a value, if nothing was invalidated since its token was given; whether it did.
    pub(crate) async fn fill(&self, names: &Names, token: Token, value: Bytes, life: Duration) -> Result<bool, Error> {
        let is_large = value.len() > BULK;
        let args = vec![token.0.into(), Value::Bytes(value), ms(life)];
        // Sent even if the breaker is open: the lease was given, and whoever waits for the value waits for this.
        let (connection, patience) = if is_large { (&self.bulk, BULK_TIMEOUT) } else { (&self.commands, PATIENCE) };
        let stored = Step::Fill.run(connection, patience, &names.keys, args).await.map(|code: i64| code == 1);
        let result = match &stored {
            Ok(true) => "ok",
            Ok(false) => "rejected",
            Err(_) => "error",
        };
        metrics::counter!("cache_fill_total", "result" => result, "ns" => names.space).increment(1);
        stored
    }

    /// Keeps the right to load for another while. Sent even if the breaker is open: a lease that ends costs a load.
    pub(crate) async fn renew(&self, names: &Names, token: &Token) {
        let args = vec![token.0.as_str().into(), ms(LEASE)];
        if let Err(error) = Step::Renew.run::<()>(&self.commands, RENEW_EVERY, &names.keys, args).await {
            tracing::debug!(%error, "a lease was not renewed");
        }
    }

    /// Gives the right to load back.
    pub(crate) async fn release(&self, names: &Names, token: &Token) {
        let args = vec![token.0.as_str().into()];
        if let Err(error) = Step::Release.run::<()>(&self.commands, PATIENCE, &names.keys, args).await {
            tracing::debug!(%error, "a lease was not given back, and ends by itself");
        }
    }

    /// As [`release`](Self::release), and nobody waits.
    fn forgo(&self, names: &Names, token: &Token) {
        let (commands, keys, args) = (self.commands.clone(), names.keys.clone(), vec![token.0.as_str().into()]);
        tokio::spawn(async move { Step::Release.run::<()>(&commands, BULK_TIMEOUT, &keys, args).await });
    }

    /// Takes away a value, and the right to store what was read before.
    pub(crate) async fn invalidate(&self, key: &str, because: Because<'_>) -> Result<(), Error> {
        let (what, commit) = match because {
            Because::Mark(commit) => ("mark", commit),
            Because::Clear(commit) => ("clear", commit),
            Because::Delete => ("delete", ""),
        };
        let args = vec![what.into(), commit.into(), ms(MARK)];
        Step::Invalidate.run(&self.commands, PATIENCE, &self.names(key).keys, args).await
    }

    /// Which beat the canary is of, this one where there was none, and whether writes are taken.
    pub(crate) async fn beat(&self, connection: &Connection, canary: &str, number: i64) -> Result<(i64, bool), Error> {
        let (keys, args) = ([canary.to_owned()], [ms(Duration::from_hours(1)), number.into()]);
        let (known, takes_writes): (i64, i64) = Step::Beat.run(connection, BULK_TIMEOUT, &keys, args.into()).await?;
        Ok((known, takes_writes == 1))
    }

    /// Runs a step unless Redis has failed too often of late. It waits while Redis is silent until that counts as too
    /// often: who gives up after one silence, on a machine that is merely busy, loads what another process is loading.
    async fn guarded<R: FromValue>(&self, step: Step, names: &Names, args: Vec<Value>) -> Result<R, Error> {
        if !self.breaker().admits(Instant::now()) {
            return Err(Error::Bypassed);
        }
        let answer = step.run(&self.commands, BULK_TIMEOUT, &names.keys, args);
        tokio::pin!(answer);
        let mut is_late = false;
        let answer = loop {
            tokio::select! {
                biased;
                answer = &mut answer => break answer,
                () = turns(PATIENCE) => {
                    is_late = true;
                    if self.breaker().silent(Instant::now(), PATIENCE) {
                        break Err(Error::Slow);
                    }
                }
            }
        };
        let is_failure = answer.as_ref().is_err_and(is_absence);
        let mut breaker = self.breaker();
        match (is_failure, is_late) {
            (false, false) => breaker.succeeded(Instant::now()),
            (true, false) => breaker.failed(Instant::now()),
            (_, true) => {} // its silence was counted
        }
        self.show(breaker.is_open());
        answer
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ms(span: Duration) -> Value {
    span.as_millis().to_string().into()
}
