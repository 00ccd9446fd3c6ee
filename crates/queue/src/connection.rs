//! One connection to Redis, which reconnects for ever.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use fred::{
    clients::Client,
    interfaces::{ClientLike, EventInterface, HashesInterface, KeysInterface},
    types::{
        Builder, ClusterHash, CustomCommand, Expiration, RespVersion, Value,
        config::{Config, Options, ReconnectError, ReconnectPolicy},
    },
};

use crate::{Error, script::Script};

/// How long the answer to a command may take.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long it may take to send a megabyte, on a slow line to a busy server.
const PER_MEGABYTE: Duration = Duration::from_secs(1);
/// A server that has owed an answer for so long is given up, and connected to anew.
const UNRESPONSIVE_AFTER: Duration = Duration::from_secs(10);
/// Longest rest between two attempts to reconnect.
pub(crate) const RECONNECT_WITHIN: Duration = Duration::from_secs(1);

const SCHEMES: &[&str] = &[
    "redis",
    "rediss",
    "valkey",
    "valkeys",
    "redis-sentinel",
    "rediss-sentinel",
    "redis-cluster",
    "rediss-cluster",
    "redis+unix",
];

/// A connection to Redis: one server, TLS, a unix socket, Sentinel or Cluster. Cheap to clone; clones share it.
///
/// While Redis is away every call fails at once: nothing waits in a buffer to be written later. No command is ever
/// written twice.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
    link: Arc<Link>,
}

/// What is known of the link to the server.
#[derive(Debug, Default)]
struct Link {
    /// How often it was made.
    made: AtomicU64,
    /// When it was made last.
    since: Mutex<Option<Instant>>,
    /// When the server answered last.
    answered: Mutex<Option<Instant>>,
    /// The server's number for it, and for which making of it that was asked.
    id: Mutex<(u64, u64)>,
}

impl Connection {
    /// Starts connecting, and reconnects from then on for ever. Returns before it is connected: see
    /// [`ready`](Self::ready).
    ///
    /// # Errors
    /// [`Error::BadUrl`] where `url` is none of fred's forms (`redis://`, `rediss://`, `redis-sentinel://`,
    /// `redis-cluster://`, `redis+unix://`).
    pub fn open(url: &str) -> Result<Self, Error> {
        // fred takes every other scheme for plain Redis.
        let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
        if !SCHEMES.contains(&scheme) {
            return Err(Error::BadUrl(format!("it must begin with one of {}", SCHEMES.join("://, ") + "://")));
        }
        let mut config = Config::from_url(url).map_err(|error| Error::BadUrl(error.details().to_owned()))?;
        config.version = RespVersion::RESP3;
        config.fail_fast = false;
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(3);
                connection.internal_command_timeout = Duration::from_secs(3);
                // fred would write a script again whose connection was lost, although it may have run.
                connection.max_command_attempts = 1;
                connection.tcp.nodelay = Some(true);
                connection.unresponsive.max_timeout = Some(UNRESPONSIVE_AFTER);
                connection.unresponsive.interval = Duration::from_secs(1);
                connection.reconnect_errors =
                    vec![ReconnectError::Loading, ReconnectError::ReadOnly, ReconnectError::MasterDown];
            })
            .with_performance_config(|performance| performance.default_command_timeout = PATIENCE)
            .set_policy(ReconnectPolicy::new_exponential(0, 50, to_millis(RECONNECT_WITHIN), 2))
            .build()
            .map_err(|error| Error::BadUrl(error.details().to_owned()))?;
        client.on_error(|(error, _)| async move {
            tracing::debug!(%error, "Redis connection lost");
            Ok(())
        });
        let link = Arc::new(Link::default());
        let made = Arc::clone(&link);
        client.on_reconnect(move |_| {
            made.note();
            std::future::ready(Ok(()))
        });
        drop(client.connect()); // runs on by itself
        Ok(Self { client, link })
    }

    /// Waits until Redis is connected, for as long as that takes.
    ///
    /// # Errors
    /// Where the connection was closed meanwhile.
    pub async fn ready(&self) -> Result<(), Error> {
        Ok(self.client.wait_for_connect().await?)
    }

    /// Asks Redis for a sign of life.
    ///
    /// # Errors
    /// Where there is none within 2 s.
    pub async fn ping(&self) -> Result<(), Error> {
        self.command("PING", ClusterHash::Random, vec![]).await.map(drop)
    }

    /// Whether the server has answered any call within the last `span`.
    pub fn answered_within(&self, span: Duration) -> bool {
        let last = *self.link.answered.lock().unwrap_or_else(PoisonError::into_inner);
        last.is_some_and(|moment| moment.elapsed() <= span)
    }

    /// What it connects to, and as whom.
    pub(crate) fn config(&self) -> Config {
        self.client.client_config()
    }

    /// Lets go of the connection.
    pub async fn close(&self) {
        if let Err(error) = self.client.quit().await {
            tracing::debug!(%error, "Redis connection was gone before it was closed");
        }
    }

    /// How often the link has been made: it changes with each reconnect.
    pub(crate) fn times_made(&self) -> u64 {
        self.link.made.load(Ordering::Acquire)
    }

    /// For how long the link has been up without a break.
    pub(crate) fn up_for(&self) -> Duration {
        let since = *self.link.since.lock().unwrap_or_else(PoisonError::into_inner);
        since.filter(|_| self.client.is_connected()).map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// The number that the server with `key` gave this connection; asked once for each link.
    pub(crate) async fn client_id(&self, key: &str) -> Result<u64, Error> {
        let made = self.times_made();
        let (known, asked_for) = *self.link.id.lock().unwrap_or_else(PoisonError::into_inner);
        if known > 0 && asked_for == made {
            return Ok(known);
        }
        let id: u64 = self.command("CLIENT", at_server_of(key), vec!["ID".into()]).await?.convert()?;
        *self.link.id.lock().unwrap_or_else(PoisonError::into_inner) = (id, made);
        Ok(id)
    }

    /// Runs a script. `key` is its only declared key, which routes it in a cluster.
    pub(crate) async fn eval(&self, script: &'static Script, key: &str, args: Vec<Value>) -> Result<Value, Error> {
        let server = at_server_of(key);
        let mut words = Vec::with_capacity(args.len() + 3);
        words.extend([Value::from_static_str(script.sha()), Value::from(1), Value::from(key)]);
        words.extend(args);
        let patience = script.patience + PER_MEGABYTE * megabytes(&words);
        match self.within(patience, "EVALSHA", server.clone(), words.clone()).await {
            // It has not run: Redis was restarted or does not know it yet. EVAL runs and keeps it.
            Err(Error::Redis(error)) if error.details().starts_with("NOSCRIPT") => {
                words[0] = Value::from_static_str(script.source());
                self.within(patience, "EVAL", server, words).await
            }
            answered => answered,
        }
    }

    pub(crate) async fn command(
        &self,
        name: &'static str,
        hash: ClusterHash,
        args: Vec<Value>,
    ) -> Result<Value, Error> {
        self.within(PATIENCE, name, hash, args).await
    }

    // Unlike what is sent as [`command`](Self::command), fred sends the following together with what comes next, where
    // that is there already: one system call less for us and for Redis.

    /// The value of a key.
    pub(crate) async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        Ok(self.heard(self.client.with_options(&options(PATIENCE)).get(key).await?))
    }

    /// The values of fields of a hash.
    pub(crate) async fn hmget(&self, key: &str, fields: &[String]) -> Result<Vec<Option<String>>, Error> {
        Ok(self.heard(self.client.with_options(&options(PATIENCE)).hmget(key, fields.to_vec()).await?))
    }

    /// Sets a key, for so many seconds.
    pub(crate) async fn set(&self, key: &str, value: String, seconds: i64) -> Result<(), Error> {
        let life = Some(Expiration::EX(seconds));
        let answer: Value = self.client.with_options(&options(PATIENCE)).set(key, value, life, None, false).await?;
        self.heard(answer);
        Ok(())
    }

    fn heard<T>(&self, answer: T) -> T {
        *self.link.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        answer
    }

    async fn within(
        &self,
        patience: Duration,
        name: &'static str,
        hash: ClusterHash,
        args: Vec<Value>,
    ) -> Result<Value, Error> {
        let command = CustomCommand::new_static(name, hash, false);
        Ok(self.heard(self.client.with_options(&options(patience)).custom(command, args).await?))
    }

    /// Runs a command that waits on the server for up to `wait`. Blocks the connection: for one that does only this.
    pub(crate) async fn blocking(
        &self,
        name: &'static str,
        hash: ClusterHash,
        args: Vec<Value>,
        wait: Duration,
    ) -> Result<Value, Error> {
        // Never let go of by us before Redis does: an element popped for nobody would be lost. And past fred's own
        // interfaces, which cannot tell "nothing there" from a time-out.
        let command = CustomCommand::new_static(name, hash, true);
        let answered = self.client.with_options(&options(wait + PATIENCE)).custom(command, args).await;
        if let Err(error) = &answered
            && *error.kind() == fred::error::ErrorKind::Timeout
        {
            // fred takes a blocked connection for a good one however long it is silent.
            let _ = self.client.force_reconnection().await;
        }
        Ok(answered?)
    }
}

impl Link {
    fn note(&self) {
        *self.since.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        self.made.fetch_add(1, Ordering::AcqRel);
    }
}

/// To the server that has `key`. fred heeds no other way to route a command that it has no method for.
pub(crate) fn at_server_of(key: &str) -> ClusterHash {
    ClusterHash::Custom(fred::util::redis_keyslot(key.as_bytes()))
}

fn options(timeout: Duration) -> Options {
    Options { fail_fast: true, max_attempts: Some(1), timeout: Some(timeout), ..Options::default() }
}

fn megabytes(words: &[Value]) -> u32 {
    let bytes: usize = words.iter().filter_map(Value::as_bytes).map(<[u8]>::len).sum();
    u32::try_from(bytes / 1_000_000).unwrap_or(u32::MAX)
}

fn to_millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
