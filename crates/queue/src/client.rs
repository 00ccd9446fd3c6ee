//! A queue's keys, and the connection to the server that has them.

use std::sync::Arc;

use examhall_redis::{Connection, FromValue, Route, Script, Value};

use crate::{Error, clock::ServerClock, keys::Keys};

/// Runs scripts and commands on a queue's keys. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    connection: Connection,
    keys: Keys,
    meta: String,
    clock: ServerClock,
}

impl Client {
    pub(crate) fn new(connection: Connection, keys: Keys) -> Self {
        let meta = keys.of("meta");
        Self(Arc::new(Inner { connection, keys, meta, clock: ServerClock::default() }))
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.0.connection
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.0.keys
    }

    /// Returns the server's time in ms since 1970, as far as it is known: see [`ServerClock`].
    pub(crate) fn now_ms(&self) -> i64 {
        self.0.clock.now_ms()
    }

    /// As [`now_ms`](Self::now_ms), and asks the server if it was never asked; from time to time, in the background.
    pub(crate) async fn now(&self) -> i64 {
        let _ = self.read_clock().await; // an unavailable server fails what is done next
        self.now_ms()
    }

    /// Asks for the server's time, if it was never asked, or in the background if that was long ago.
    ///
    /// # Errors
    /// Returns an error if the server is unavailable.
    pub(crate) async fn read_clock(&self) -> Result<(), Error> {
        self.0.clock.read(&self.0.connection, &self.0.meta).await
    }

    /// Routes a command to the server of the queue's keys.
    pub(crate) fn route(&self) -> Route<'_> {
        Route::Key(&self.0.meta)
    }

    pub(crate) async fn eval<R: FromValue>(&self, script: &'static Script, args: Vec<Value>) -> Result<R, Error> {
        Ok(self.0.connection.eval(script, &[&self.0.meta], args).await?)
    }

    /// As [`eval`](Self::eval), with arguments that `args` adds, once more if the server does not know the script.
    pub(crate) async fn eval_with<R: FromValue>(
        &self,
        script: &'static Script,
        args: impl Fn(&mut Vec<Value>),
    ) -> Result<R, Error> {
        Ok(self.0.connection.eval_with(script, &[&self.0.meta], args).await?)
    }

    /// Runs a command whose first argument is `key`.
    pub(crate) async fn command<R: FromValue>(&self, name: &'static str, key: &str, args: &[&str]) -> Result<R, Error> {
        let args = std::iter::once(key).chain(args.iter().copied()).map(Value::from).collect();
        Ok(self.0.connection.command(name, Route::Key(key), args).await?)
    }

    /// Runs a command on the queue's meta hash.
    pub(crate) async fn meta<R: FromValue>(&self, name: &'static str, words: &[&str]) -> Result<R, Error> {
        self.command(name, &self.0.meta, words).await
    }

    /// Runs a command without a key.
    pub(crate) async fn at_server<R: FromValue>(&self, name: &'static str, words: &[&str]) -> Result<R, Error> {
        let words = words.iter().copied().map(Value::from).collect();
        Ok(self.0.connection.command(name, self.route(), words).await?)
    }
}

/// Reads text of any client, which may not be UTF-8.
pub(crate) fn text(value: &Value) -> String {
    value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned()).unwrap_or_default()
}

/// Reads a list of texts of any client.
pub(crate) fn texts(list: Value) -> Vec<String> {
    match list {
        Value::Array(list) => list.iter().map(text).collect(),
        _ => Vec::new(),
    }
}
