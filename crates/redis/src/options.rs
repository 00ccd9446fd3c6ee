//! How long a connection waits for what.

use std::time::Duration;

use fred::{
    interfaces::ClientLike,
    types::{
        Builder, RespVersion,
        config::{Config, ReconnectError, ReconnectPolicy},
    },
};

/// Time allowed for connecting and for each step of the login.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// First pause between two attempts to reconnect, in ms; it doubles.
const FIRST_BACKOFF_MS: u32 = 50;

/// Time limits of a [`Connection`](crate::Connection).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionOptions {
    pub(crate) command_timeout: Duration,
    pub(crate) unresponsive_after: Duration,
    max_backoff: Duration,
    push_capacity: usize,
    command_buffer: usize,
}

impl ConnectionOptions {
    /// Longest pause between two attempts to reconnect, unless set otherwise.
    pub const MAX_BACKOFF: Duration = Duration::from_secs(1);
}

impl Default for ConnectionOptions {
    /// 2 s for a command; a server that owes an answer for 10 s is reconnected; attempts to reconnect at most 1 s apart.
    fn default() -> Self {
        Self {
            command_timeout: Duration::from_secs(2),
            unresponsive_after: Duration::from_secs(10),
            max_backoff: Self::MAX_BACKOFF,
            push_capacity: 32,
            command_buffer: 0,
        }
    }
}

impl ConnectionOptions {
    /// Time allowed for the answer to a command.
    #[must_use]
    pub fn command_timeout(mut self, timeout: Duration) -> Self {
        self.command_timeout = timeout;
        self
    }

    /// Time after which a server that owes an answer is given up and reconnected.
    #[must_use]
    pub fn unresponsive_after(mut self, silence: Duration) -> Self {
        self.unresponsive_after = silence;
        self
    }

    /// Longest pause between two attempts to reconnect.
    #[must_use]
    pub fn max_backoff(mut self, pause: Duration) -> Self {
        self.max_backoff = pause;
        self
    }

    /// Invalidation messages that are buffered for a reader that lags.
    #[must_use]
    pub fn push_capacity(mut self, messages: usize) -> Self {
        self.push_capacity = messages;
        self
    }

    /// Commands that may wait to be written; more fail at once. 0 means no bound.
    #[must_use]
    pub fn command_buffer(mut self, commands: usize) -> Self {
        self.command_buffer = commands;
        self
    }

    pub(crate) fn build(self, mut config: Config) -> Result<fred::clients::Client, fred::error::Error> {
        config.version = RespVersion::RESP3;
        config.fail_fast = false;
        Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT_TIMEOUT;
                connection.internal_command_timeout = CONNECT_TIMEOUT;
                // fred would write a script again whose connection was lost, although it may have run.
                connection.max_command_attempts = 1;
                connection.max_command_buffer_len = self.command_buffer;
                connection.tcp.nodelay = Some(true);
                connection.unresponsive.max_timeout = Some(self.unresponsive_after);
                connection.unresponsive.interval = (self.unresponsive_after / 10).max(Duration::from_millis(500));
                connection.reconnect_errors =
                    vec![ReconnectError::Loading, ReconnectError::ReadOnly, ReconnectError::MasterDown];
            })
            .with_performance_config(|performance| {
                performance.default_command_timeout = self.command_timeout;
                performance.broadcast_channel_capacity = self.push_capacity;
            })
            .set_policy(ReconnectPolicy::new_exponential(0, FIRST_BACKOFF_MS, to_millis(self.max_backoff), 2))
            .build()
    }

    /// Connects once with the same configuration and returns what went wrong; a [`Connection`](crate::Connection) would
    /// try forever.
    pub(crate) async fn login(mut config: Config) -> Result<(), fred::error::Error> {
        config.fail_fast = true; // otherwise fred keeps the reason to itself
        let client = Builder::from_config(config)
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT_TIMEOUT;
                connection.internal_command_timeout = CONNECT_TIMEOUT;
            })
            .with_performance_config(|performance| performance.default_command_timeout = CONNECT_TIMEOUT)
            .build()?;
        client.init().await?;
        client.quit().await
    }
}

fn to_millis(span: Duration) -> u32 {
    u32::try_from(span.as_millis()).unwrap_or(u32::MAX)
}
