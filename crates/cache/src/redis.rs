//! The level in Redis: connections that come back for ever and answer soon or not at all, and the steps of the protocol.

use std::{
    sync::{Mutex, PoisonError, atomic::AtomicBool},
    time::{Duration, Instant},
};

use bytes::Bytes;
use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{
        Builder, ClusterHash, CustomCommand, RespVersion, Value,
        config::{Config, Options, ReconnectError, ReconnectPolicy},
    },
};

use crate::{Error, breaker::Breaker};

/// Longest wait for an answer: from then on the database is the faster way.
pub(crate) const PATIENCE: Duration = Duration::from_millis(50);
/// The same for what is large, or what nobody waits for.
const BULK_PATIENCE: Duration = Duration::from_millis(500);
/// Longest wait for an answer, come what may.
const NET: Duration = Duration::from_secs(2);
/// Larger values go by a connection of their own, so that nobody waits behind them; in bytes.
const BULK: usize = 32 * 1024;
/// How long the right to load lasts, unless renewed.
pub(crate) const LEASE: Duration = Duration::from_secs(1);
/// How long a mark bars fills: longer than a commit may take.
const MARK: Duration = Duration::from_secs(10);

/// A Lua script and the name under which Redis keeps it.
struct Script {
    source: &'static str,
    sha: String,
}

/// The three Redis keys of one cache key: value, lease, marks. The braces put all into one slot of a cluster.
pub(crate) struct Names([String; 3]);

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
    commands: Client,
    bulk: Client,
    breaker: Mutex<Breaker>,
    /// `false` while invalidations may be undone or refused there: until they have been said again.
    pub(crate) is_trusted: AtomicBool,
    scripts: [Script; 6],
}

#[derive(Clone, Copy)]
enum Step {
    Acquire,
    Fill,
    Renew,
    Release,
    Invalidate,
    Beat,
}

impl Names {
    pub(crate) fn of(key: &str) -> Self {
        Self([key.to_owned(), format!("cl:{{{key}}}"), format!("cm:{{{key}}}")])
    }
}

impl Redis {
    pub(crate) fn open(url: &str) -> Result<Self, Error> {
        let script = |source| Script { source, sha: fred::util::sha1_hash(source) };
        Ok(Self {
            commands: connect(url)?,
            bulk: connect(url)?,
            breaker: Mutex::new(Breaker::new(Instant::now())),
            is_trusted: AtomicBool::new(false),
            scripts: [
                script(include_str!("lua/acquire.lua")),
                script(include_str!("lua/fill.lua")),
                script(include_str!("lua/renew.lua")),
                script(include_str!("lua/release.lua")),
                script(include_str!("lua/invalidate.lua")),
                script(include_str!("lua/beat.lua")),
            ],
        })
    }

    /// The connection that most commands go by.
    pub(crate) fn commands(&self) -> &Client {
        &self.commands
    }

    pub(crate) async fn close(&self) {
        for client in [&self.commands, &self.bulk] {
            quit(client).await;
        }
    }

    pub(crate) async fn ready(&self) -> Result<(), Error> {
        self.commands.wait_for_connect().await?;
        Ok(self.bulk.wait_for_connect().await?)
    }

    /// The bytes under a key.
    pub(crate) async fn peek(&self, key: &str) -> Result<Option<Bytes>, Error> {
        let value = command(&self.commands, PATIENCE, "GET", ClusterHash::FirstKey, vec![key.into()]).await?;
        Ok(value.into_bytes())
    }

    /// Takes the right to do something once in the fleet; whether it was free.
    pub(crate) async fn claim(&self, name: &str, life: Duration) -> Result<bool, Error> {
        let args = vec![name.into(), "1".into(), "NX".into(), "PX".into(), ms(life)];
        let answer = command(&self.commands, PATIENCE, "SET", ClusterHash::FirstKey, args).await?;
        Ok(!answer.is_null())
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        command(&self.commands, BULK_PATIENCE, "PING", ClusterHash::Random, vec![]).await.map(drop)
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
        let answer = match self.guarded(Step::Acquire, names, args).await {
            Ok(answer) => answer,
            Err(error) => {
                self.release(names, &token).await; // if it has arrived
                return Err(error);
            }
        };
        let mut answer = answer.into_array().into_iter();
        let code = answer.next().and_then(|code| code.as_i64());
        let value = answer.next().and_then(Value::into_bytes);
        let left = answer.next().and_then(|left| u64::try_from(left.as_i64()?).ok()).map(Duration::from_millis);
        metrics::counter!("cache_lease_total", "result" => match code {
            Some(1) => "value", Some(2) => "busy", Some(3) => "granted", _ => "marked",
        })
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
        let answer = if is_large {
            self.eval(&self.bulk, BULK_PATIENCE, Step::Fill, names, args).await
        } else {
            self.guarded(Step::Fill, names, args).await
        };
        let stored = answer.map(|answer| answer.as_i64() == Some(1));
        let result = match &stored {
            Ok(true) => "ok",
            Ok(false) => "rejected",
            Err(_) => "error",
        };
        metrics::counter!("cache_fill_total", "result" => result).increment(1);
        stored
    }

    /// Keeps the right to load for another while.
    pub(crate) async fn renew(&self, names: &Names, token: &Token) {
        let args = vec![token.0.as_str().into(), ms(LEASE)];
        if let Err(error) = self.guarded(Step::Renew, names, args).await {
            tracing::debug!(%error, "a lease was not renewed");
        }
    }

    /// Gives the right to load back.
    pub(crate) async fn release(&self, names: &Names, token: &Token) {
        let args = vec![token.0.as_str().into()];
        if let Err(error) = self.guarded(Step::Release, names, args).await {
            tracing::debug!(%error, "a lease was not given back, and ends by itself");
        }
    }

    /// Takes away a value, and the right to store what was read before.
    pub(crate) async fn invalidate(&self, key: &str, because: Because<'_>) -> Result<(), Error> {
        let (what, commit) = match because {
            Because::Mark(commit) => ("mark", commit),
            Because::Clear(commit) => ("clear", commit),
            Because::Delete => ("delete", ""),
        };
        let args = vec![what.into(), commit.into(), ms(MARK)];
        self.eval(&self.commands, PATIENCE, Step::Invalidate, &Names::of(key), args).await.map(drop)
    }

    /// Whether the canary was there, and whether writes are taken.
    pub(crate) async fn beat(&self, client: &Client, canary: &str) -> Result<(bool, bool), Error> {
        let names = Names([canary.to_owned(), String::new(), String::new()]);
        let answer = self.eval(client, BULK_PATIENCE, Step::Beat, &names, vec![ms(Duration::from_hours(1))]).await?;
        let words: Vec<_> = answer.into_array().into_iter().map(|word| word.as_i64() == Some(1)).collect();
        Ok((words.first() == Some(&true), words.get(1) == Some(&true)))
    }

    /// Runs a step unless Redis has failed too often of late.
    async fn guarded(&self, step: Step, names: &Names, args: Vec<Value>) -> Result<Value, Error> {
        if !self.breaker().admits(Instant::now()) {
            return Err(Error::Bypassed);
        }
        let answer = self.eval(&self.commands, PATIENCE, step, names, args).await;
        let is_failure = answer.as_ref().is_err_and(is_absence);
        let mut breaker = self.breaker();
        if is_failure {
            breaker.failed(Instant::now());
        } else {
            breaker.succeeded(Instant::now());
        }
        metrics::gauge!("cache_breaker_state").set(f64::from(u8::from(breaker.is_open())));
        answer
    }

    fn breaker(&self) -> std::sync::MutexGuard<'_, Breaker> {
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn eval(
        &self,
        client: &Client,
        patience: Duration,
        step: Step,
        names: &Names,
        args: Vec<Value>,
    ) -> Result<Value, Error> {
        let script = &self.scripts[step as usize];
        let keys: Vec<Value> =
            names.0.iter().filter(|name| !name.is_empty()).map(|name| name.as_str().into()).collect();
        let with = |first: &str| {
            let head = [Value::from(first), Value::from(keys.len().to_string())];
            head.into_iter().chain(keys.iter().cloned()).chain(args.iter().cloned()).collect::<Vec<_>>()
        };
        let began = Instant::now();
        let answer = match command(client, patience, "EVALSHA", ClusterHash::Offset(2), with(&script.sha)).await {
            // It has not run: Redis does not know it yet, or was restarted. EVAL runs and keeps it.
            Err(Error::Redis(error)) if error.details().starts_with("NOSCRIPT") => {
                command(client, patience, "EVAL", ClusterHash::Offset(2), with(script.source)).await
            }
            answered => answered,
        };
        metrics::histogram!("cache_redis_seconds", "cmd" => step.name()).record(began.elapsed());
        if let Err(error) = &answer {
            let kind = if is_absence(error) { "absent" } else { "refused" };
            metrics::counter!("cache_redis_errors_total", "kind" => kind).increment(1);
        }
        answer
    }
}

impl Step {
    const fn name(self) -> &'static str {
        match self {
            Self::Acquire => "acquire",
            Self::Fill => "fill",
            Self::Renew => "renew",
            Self::Release => "release",
            Self::Invalidate => "invalidate",
            Self::Beat => "beat",
        }
    }
}

/// A connection that comes back for ever.
pub(crate) fn connect(url: &str) -> Result<Client, Error> {
    let bad_url = |error: fred::error::Error| Error::BadUrl(error.details().to_owned());
    let mut config = Config::from_url(url).map_err(bad_url)?;
    config.version = RespVersion::RESP3;
    config.fail_fast = false;
    let client = Builder::from_config(config)
        .with_connection_config(|connection| {
            connection.connection_timeout = Duration::from_secs(3);
            connection.internal_command_timeout = Duration::from_secs(3);
            connection.max_command_attempts = 1;
            connection.max_command_buffer_len = 10_000;
            connection.tcp.nodelay = Some(true);
            connection.unresponsive.max_timeout = Some(Duration::from_secs(2));
            connection.unresponsive.interval = Duration::from_millis(500);
            connection.reconnect_errors =
                vec![ReconnectError::Loading, ReconnectError::ReadOnly, ReconnectError::MasterDown];
        })
        .with_performance_config(|performance| {
            performance.default_command_timeout = BULK_PATIENCE;
            performance.broadcast_channel_capacity = 8192;
        })
        .set_policy(ReconnectPolicy::new_exponential(0, 50, 2000, 2))
        .build()
        .map_err(bad_url)?;
    drop(client.connect()); // runs on by itself
    Ok(client)
}

pub(crate) async fn quit(client: &Client) {
    if let Err(error) = client.quit().await {
        tracing::debug!(%error, "Redis connection was gone before it was closed");
    }
}

pub(crate) async fn command(
    client: &Client,
    patience: Duration,
    name: &'static str,
    hash: ClusterHash,
    args: Vec<Value>,
) -> Result<Value, Error> {
    let options = Options { fail_fast: true, max_attempts: Some(1), timeout: Some(NET), ..Options::default() };
    let client = client.with_options(&options);
    let answer = client.custom(CustomCommand::new_static(name, hash, false), args);
    tokio::select! {
        biased;
        answer = answer => Ok(answer?),
        () = turns(patience) => Err(Error::Slow),
    }
}

/// Waits this long, in turns of the runtime: where the process has no time to look at the answer, the wait is longer.
/// Otherwise ten thousand readers that keep it busy would look like a Redis that is slow.
async fn turns(patience: Duration) {
    for _ in 0..10 {
        tokio::time::sleep(patience / 10).await;
    }
}

/// Whether Redis did not answer, as opposed to having refused.
fn is_absence(error: &Error) -> bool {
    use fred::error::ErrorKind::{Canceled, IO, Routing, Timeout, Unknown};
    match error {
        Error::Slow => true,
        Error::Redis(error) => {
            matches!(error.kind(), Timeout | IO | Canceled | Routing | Unknown) && !is_refusal(error.details())
        }
        _ => false,
    }
}

fn is_refusal(details: &str) -> bool {
    ["OOM", "READONLY", "MISCONF", "NOPERM", "ERR "].iter().any(|word| details.starts_with(word))
}

fn ms(span: Duration) -> Value {
    span.as_millis().to_string().into()
}
