//! Lua scripts, sent by their hash.

use std::{sync::OnceLock, time::Duration};

use crate::{Connection, Error, FromValue, Route, Value};

/// Additional time allowed per megabyte that is sent, on a slow line to a busy server.
const PER_MEGABYTE: Duration = Duration::from_secs(1);

/// A Lua script: a constant, since Redis keeps every script that it has run.
#[derive(Debug)]
pub struct Script {
    source: &'static str,
    timeout: Duration,
    sha: OnceLock<String>,
}

impl Script {
    /// A script whose answer may take `timeout`, and a second more for each megabyte that is sent.
    pub const fn new(source: &'static str, timeout: Duration) -> Self {
        Self { source, timeout, sha: OnceLock::new() }
    }

    /// The Lua text.
    pub fn source(&self) -> &'static str {
        self.source
    }

    fn sha(&'static self) -> &'static str {
        self.sha.get_or_init(|| fred::util::sha1_hash(self.source))
    }

    /// What follows `EVALSHA` or `EVAL`.
    fn words(head: &'static str, keys: &[&str], args: impl FnOnce(&mut Vec<Value>)) -> Vec<Value> {
        let mut words = Vec::with_capacity(16);
        words.push(Value::from_static_str(head));
        words.push(Value::from(i64::try_from(keys.len()).unwrap_or(i64::MAX)));
        words.extend(keys.iter().map(|key| Value::from(*key)));
        args(&mut words);
        words
    }
}

impl Connection {
    /// Runs a script on `keys`, all in the slot of the first one in a cluster. Each node gets the script's text only when
    /// it does not know the script yet.
    ///
    /// # Errors
    /// Returns an error if Redis refuses, or does not answer within the script's time limit: it may have run then.
    pub async fn eval<R: FromValue>(
        &self,
        script: &'static Script,
        keys: &[&str],
        args: Vec<Value>,
    ) -> Result<R, Error> {
        self.eval_with(script, keys, |words| words.extend(args.iter().cloned())).await
    }

    /// As [`eval`](Self::eval), with arguments that `args` adds: again only if the node does not know the script yet, so that
    /// many are not copied each time.
    ///
    /// # Errors
    /// As of [`eval`](Self::eval).
    pub async fn eval_with<R: FromValue>(
        &self,
        script: &'static Script,
        keys: &[&str],
        args: impl Fn(&mut Vec<Value>),
    ) -> Result<R, Error> {
        let route = Route::Key(keys.first().copied().unwrap_or_default());
        let words = Script::words(script.sha(), keys, &args);
        let timeout = script.timeout + PER_MEGABYTE * megabytes(&words);
        match self.command_within(timeout, "EVALSHA", route, words).await {
            // It has not run: this server was restarted or does not know it yet. EVAL runs and keeps it.
            Err(error) if error.code() == Some("NOSCRIPT") => {
                self.command_within(timeout, "EVAL", route, Script::words(script.source, keys, &args)).await
            }
            answered => answered,
        }
    }
}

fn megabytes(words: &[Value]) -> u32 {
    let bytes: usize = words.iter().filter_map(Value::as_bytes).map(<[u8]>::len).sum();
    u32::try_from(bytes / 1_000_000).unwrap_or(u32::MAX)
}
