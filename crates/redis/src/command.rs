//! Commands, with a time limit each.

use std::time::{Duration, Instant};

use fred::{
    bytes::Bytes,
    clients::Client,
    interfaces::{ClientLike, HashesInterface, KeysInterface},
    types::{CustomCommand, Expiration, config::Options},
};

use crate::{Connection, Error, FromValue, Value, route::Route};

impl Connection {
    /// Runs a command.
    ///
    /// # Errors
    /// Returns an error if Redis refuses or does not answer within the time limit of commands.
    pub async fn command<R: FromValue>(
        &self,
        name: &'static str,
        route: Route<'_>,
        args: Vec<Value>,
    ) -> Result<R, Error> {
        self.command_within(self.options.command_timeout, name, route, args).await
    }

    /// As [`command`](Self::command), with a time limit of its own.
    ///
    /// # Errors
    /// As of [`command`](Self::command).
    pub async fn command_within<R: FromValue>(
        &self,
        timeout: Duration,
        name: &'static str,
        route: Route<'_>,
        args: Vec<Value>,
    ) -> Result<R, Error> {
        let command = CustomCommand::new_static(name, route.hash(), false);
        let client = self.client.with_options(&limited_to(timeout));
        // fred's futures have several kilobytes, which every caller's would have too.
        let sent = Instant::now();
        self.note(sent, Box::pin(client.custom(command, args)).await)
    }

    /// Runs a command that waits on the server for up to `wait`. Blocks the connection: for one that does nothing else.
    ///
    /// # Errors
    /// Returns an error if Redis refuses or does not answer in time.
    pub async fn blocking<R: FromValue>(
        &self,
        name: &'static str,
        route: Route<'_>,
        args: Vec<Value>,
        wait: Duration,
    ) -> Result<R, Error> {
        // Never given up by us before Redis does: an element popped for nobody would be lost. And past fred's own
        // interfaces, which cannot tell "nothing there" from a timeout.
        let command = CustomCommand::new_static(name, route.hash(), true);
        let options = limited_to(wait + self.options.command_timeout);
        let answer = self.client.with_options(&options).custom(command, args).await;
        if let Err(error) = &answer
            && *error.kind() == fred::error::ErrorKind::Timeout
        {
            // fred takes a blocked connection for a good one however long it is silent.
            let _ = self.client.force_reconnection().await;
        }
        answer.map_err(Error::of)
    }

    // Unlike what is sent as [`command`](Self::command), fred sends the following together with what comes next, where
    // that is there already: one system call less for us and for Redis.

    /// The value of a key.
    ///
    /// # Errors
    /// Returns an error if Redis refuses (`WRONGTYPE`) or does not answer.
    pub async fn get(&self, key: &str) -> Result<Option<String>, Error> {
        let sent = Instant::now();
        self.note(sent, self.limited().get(key).await)
    }

    /// The first `bytes` of a string; none if there is none.
    ///
    /// # Errors
    /// As of [`get`](Self::get).
    pub async fn beginning(&self, key: &str, bytes: usize) -> Result<Bytes, Error> {
        let (last, sent) = (bytes.saturating_sub(1), Instant::now());
        self.note(sent, Box::pin(self.limited().getrange(key, 0, last)).await)
    }

    /// The remaining time to live of a key in ms: -1 if it has no end, -2 if there is no such key.
    ///
    /// # Errors
    /// Returns an error if Redis refuses or does not answer.
    pub async fn pttl(&self, key: &str) -> Result<i64, Error> {
        let sent = Instant::now();
        self.note(sent, Box::pin(self.limited().pttl(key)).await)
    }

    /// The values of fields of a hash.
    ///
    /// # Errors
    /// As of [`get`](Self::get).
    pub async fn hmget(&self, key: &str, fields: &[String]) -> Result<Vec<Option<String>>, Error> {
        let sent = Instant::now();
        self.note(sent, self.limited().hmget(key, fields.to_vec()).await)
    }

    /// Sets a key for a number of seconds.
    ///
    /// # Errors
    /// Returns an error if Redis refuses or does not answer: it may have been set then.
    pub async fn set(&self, key: &str, value: String, seconds: i64) -> Result<(), Error> {
        let (life, sent) = (Some(Expiration::EX(seconds)), Instant::now());
        let answer: Result<Value, _> = self.limited().set(key, value, life, None, false).await;
        self.note(sent, answer).map(drop)
    }

    fn limited(&self) -> fred::clients::WithOptions<Client> {
        self.client.with_options(&limited_to(self.options.command_timeout))
    }
}

fn limited_to(timeout: Duration) -> Options {
    Options { fail_fast: true, max_attempts: Some(1), timeout: Some(timeout), ..Options::default() }
}
