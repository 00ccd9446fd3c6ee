//! The connection to Redis: reconnects for ever, answers soon or not at all.

use std::time::Duration;

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{
        Builder, ClusterHash, CustomCommand, RespVersion, Value,
        config::{Config, Options, ReconnectError, ReconnectPolicy},
    },
};

use crate::Error;

/// Longest wait for an answer: from then on the database is the faster way.
const PATIENCE: Duration = Duration::from_millis(500);

/// A Lua script and the name under which Redis keeps it.
pub(crate) struct Script {
    source: &'static str,
    sha: String,
}

impl Script {
    pub(crate) fn new(source: &'static str) -> Self {
        Self { source, sha: fred::util::sha1_hash(source) }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Connection {
    client: Client,
}

impl Connection {
    pub(crate) fn open(url: &str) -> Result<Self, Error> {
        let bad_url = |error: fred::error::Error| Error::BadUrl(error.details().to_owned());
        let mut config = Config::from_url(url).map_err(bad_url)?;
        config.version = RespVersion::RESP3;
        config.fail_fast = false;
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = Duration::from_secs(3);
                connection.internal_command_timeout = Duration::from_secs(3);
                connection.max_command_attempts = 1;
                connection.tcp.nodelay = Some(true);
                connection.unresponsive.max_timeout = Some(Duration::from_secs(2));
                connection.unresponsive.interval = Duration::from_millis(500);
                connection.reconnect_errors =
                    vec![ReconnectError::Loading, ReconnectError::ReadOnly, ReconnectError::MasterDown];
            })
            .with_performance_config(|performance| performance.default_command_timeout = PATIENCE)
            .set_policy(ReconnectPolicy::new_exponential(0, 50, 2000, 2))
            .build()
            .map_err(bad_url)?;
        drop(client.connect()); // runs on by itself
        Ok(Self { client })
    }

    pub(crate) async fn ready(&self) -> Result<(), Error> {
        Ok(self.client.wait_for_connect().await?)
    }

    pub(crate) async fn close(&self) {
        if let Err(error) = self.client.quit().await {
            tracing::debug!(%error, "Redis connection was gone before it was closed");
        }
    }

    pub(crate) async fn ping(&self) -> Result<(), Error> {
        self.command("PING", ClusterHash::Random, vec![]).await.map(drop)
    }

    /// Runs a script on two keys of one slot.
    pub(crate) async fn eval(&self, script: &Script, keys: [&str; 2], args: Vec<Value>) -> Result<Value, Error> {
        let with = |first: &str| {
            let head = [Value::from(first), Value::from(2), Value::from(keys[0]), Value::from(keys[1])];
            head.into_iter().chain(args.iter().cloned()).collect::<Vec<_>>()
        };
        match self.command("EVALSHA", ClusterHash::Offset(2), with(&script.sha)).await {
            // It has not run: Redis does not know it yet, or was restarted. EVAL runs and keeps it.
            Err(Error::Redis(error)) if error.details().starts_with("NOSCRIPT") => {
                self.command("EVAL", ClusterHash::Offset(2), with(script.source)).await
            }
            answered => answered,
        }
    }

    async fn command(&self, name: &'static str, hash: ClusterHash, args: Vec<Value>) -> Result<Value, Error> {
        let options = Options { fail_fast: true, max_attempts: Some(1), timeout: Some(PATIENCE), ..Options::default() };
        Ok(self.client.with_options(&options).custom(CustomCommand::new_static(name, hash, false), args).await?)
    }
}
