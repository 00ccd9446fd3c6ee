//! The steps of the protocol as Redis runs them: a Lua script each, sent by the hash under which Redis keeps it; and the
//! keys that they work on.

use std::time::{Duration, Instant};

use examhall_core::KEY_SPACES;
use fred::{
    clients::Client,
    types::{ClusterHash, Value},
};

use crate::{
    Error,
    connection::{at_server_of, command, is_absence},
};

/// A step of the protocol.
#[derive(Clone, Copy)]
pub(crate) enum Step {
    Acquire,
    Fill,
    Renew,
    Release,
    Invalidate,
    Beat,
}

/// The three Redis keys of one cache key: value, lease, marks. The braces put all into one slot of a cluster.
pub(crate) struct Names(pub(crate) [String; 3]);

/// A Lua script and the name under which Redis keeps it.
struct Script {
    source: &'static str,
    sha: String,
}

/// One script for each step.
pub(crate) struct Scripts([Script; 6]);

impl Scripts {
    pub(crate) fn new() -> Self {
        let script = |source| Script { source, sha: fred::util::sha1_hash(source) };
        Self([
            script(include_str!("lua/acquire.lua")),
            script(include_str!("lua/fill.lua")),
            script(include_str!("lua/renew.lua")),
            script(include_str!("lua/release.lua")),
            script(include_str!("lua/invalidate.lua")),
            script(include_str!("lua/beat.lua")),
        ])
    }

    /// Has Redis run a step on `keys`, which stand in one slot of a cluster.
    pub(crate) async fn run(
        &self,
        client: &Client,
        patience: Duration,
        step: Step,
        keys: &[String],
        args: &[Value],
    ) -> Result<Value, Error> {
        let Script { source, sha } = &self.0[step as usize];
        let began = Instant::now();
        let answer = match command(client, patience, "EVALSHA", slot(keys), words(sha, keys, args)).await {
            // It has not run: Redis does not know it yet, or was restarted. EVAL runs and keeps it.
            Err(Error::Redis(error)) if error.details().starts_with("NOSCRIPT") => {
                command(client, patience, "EVAL", slot(keys), words(source, keys, args)).await
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

    /// As [`run`](Self::run), where nobody waits for it.
    pub(crate) fn run_aside(&self, client: &Client, patience: Duration, step: Step, keys: &[String], args: &[Value]) {
        let (client, at) = (client.clone(), slot(keys));
        let words = words(&self.0[step as usize].sha, keys, args);
        tokio::spawn(async move { command(&client, patience, "EVALSHA", at, words).await });
    }
}

impl Names {
    pub(crate) fn of(key: &str) -> Self {
        Self([key.to_owned(), format!("cl:{{{key}}}"), format!("cm:{{{key}}}")])
    }

    /// The kind of key, as a label.
    pub(crate) fn space(&self) -> &'static str {
        space(&self.0[0])
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

fn slot(keys: &[String]) -> ClusterHash {
    at_server_of(keys.first().map_or("", String::as_str))
}

/// What follows EVALSHA or EVAL.
fn words(script: &str, keys: &[String], args: &[Value]) -> Vec<Value> {
    let head = [script.into(), keys.len().to_string().into()];
    head.into_iter().chain(keys.iter().map(|key| key.as_str().into())).chain(args.iter().cloned()).collect()
}

/// The kind of a key, as the label `ns` of metrics: "exam", "question", "result", "user".
pub(crate) fn space(key: &str) -> &'static str {
    let space = KEY_SPACES.iter().find(|space| key.contains(**space));
    space.map_or("other", |space| space.trim_end_matches(':'))
}
