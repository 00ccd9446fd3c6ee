//! Connections that come back for ever, and commands that are answered soon or not at all.

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

/// Longest wait for what is large, or what nobody waits for.
pub(crate) const BULK_PATIENCE: Duration = Duration::from_millis(500);
/// Longest wait for an answer, come what may.
const NET: Duration = Duration::from_secs(2);

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

/// To the server that has `key`. fred heeds no other way to route a command that it has no method for.
pub(crate) fn at_server_of(key: &str) -> ClusterHash {
    ClusterHash::Custom(fred::util::redis_keyslot(key.as_bytes()))
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
pub(crate) async fn turns(patience: Duration) {
    for _ in 0..10 {
        tokio::time::sleep(patience / 10).await;
    }
}

/// Whether Redis did not answer, as opposed to having refused.
pub(crate) fn is_absence(error: &Error) -> bool {
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
