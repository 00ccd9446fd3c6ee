//! One connection to Redis, which reconnects for ever.

use std::time::Duration;

use fred::{
    clients::Client,
    interfaces::{ClientLike, EventInterface},
    types::{
        Builder, ClusterHash, CustomCommand, RespVersion, Value,
        config::{Config, Options, ReconnectError, ReconnectPolicy},
    },
};

use crate::{Error, script::Script};

/// How long a command may take. Lua scripts of ours take well under 10 ms.
const PATIENCE: Duration = Duration::from_secs(2);

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

/// A connection to Redis. Cheap to clone; clones share it.
///
/// While Redis is away every call fails at once: nothing waits in a buffer to be written later. No command is ever
/// written twice.
#[derive(Clone, Debug)]
pub struct Connection {
    client: Client,
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
                connection.unresponsive.max_timeout = Some(Duration::from_secs(5));
                connection.unresponsive.interval = Duration::from_secs(1);
                connection.reconnect_errors =
                    vec![ReconnectError::Loading, ReconnectError::ReadOnly, ReconnectError::MasterDown];
            })
            .with_performance_config(|performance| performance.default_command_timeout = PATIENCE)
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 2000, 2))
            .build()
            .map_err(|error| Error::BadUrl(error.details().to_owned()))?;
        client.on_error(|(error, _)| async move {
            tracing::debug!(%error, "Redis connection lost");
            Ok(())
        });
        drop(client.connect()); // runs on by itself
        Ok(Self { client })
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

    /// Lets go of the connection.
    pub async fn close(&self) {
        if let Err(error) = self.client.quit().await {
            tracing::debug!(%error, "Redis connection was gone before it was closed");
        }
    }

    /// Runs a script. `meta` is the queue's meta key, which routes it in a cluster.
    pub(crate) async fn eval(&self, script: &Script, meta: &str, args: Vec<Value>) -> Result<Value, Error> {
        let with = |first: &str| {
            let head = [Value::from(first), Value::from(1), Value::from(meta)];
            head.into_iter().chain(args.iter().cloned()).collect::<Vec<_>>()
        };
        match self.command("EVALSHA", ClusterHash::Offset(2), with(script.sha())).await {
            // It has not run: Redis was restarted or does not know it yet. EVAL runs and keeps it.
            Err(Error::Redis(error)) if error.details().starts_with("NOSCRIPT") => {
                self.command("EVAL", ClusterHash::Offset(2), with(script.source())).await
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
        let options = Options { fail_fast: true, max_attempts: Some(1), timeout: Some(PATIENCE), ..Options::default() };
        Ok(self.client.with_options(&options).custom(CustomCommand::new_static(name, hash, false), args).await?)
    }

    /// Takes the smallest member of a sorted set, waiting for one. Blocks the connection: for one that does only this.
    pub(crate) async fn blocking_pop_min(&self, key: String, wait: Duration) -> Result<Option<(String, f64)>, Error> {
        // Never let go of by us before Redis does: an element popped for nobody would be lost.
        let options =
            Options { fail_fast: true, max_attempts: Some(1), timeout: Some(wait + PATIENCE), ..Options::default() };
        let args = vec![Value::from(key), Value::from(format!("{:.3}", wait.as_secs_f64()))];
        // fred's own BZPOPMIN cannot tell "nothing there" from a time-out.
        let command = CustomCommand::new_static("BZPOPMIN", ClusterHash::FirstKey, true);
        let popped: Option<(String, String, f64)> = self.client.with_options(&options).custom(command, args).await?;
        Ok(popped.map(|(_, member, score)| (member, score)))
    }
}
