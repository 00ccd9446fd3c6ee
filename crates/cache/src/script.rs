//! The steps of the protocol as Redis runs them: a Lua script each, sent by the hash under which Redis keeps it; and the
//! keys that they work on.

use std::time::{Duration, Instant};

use examhall_redis::{Connection, FromValue, Script, Value};

use crate::{
    Error,
    connection::{MAX_TIMEOUT, is_absence, within},
};

static ACQUIRE: Script = Script::new(include_str!("lua/acquire.lua"), MAX_TIMEOUT);
static FILL: Script = Script::new(include_str!("lua/fill.lua"), MAX_TIMEOUT);
static RENEW: Script = Script::new(include_str!("lua/renew.lua"), MAX_TIMEOUT);
static RELEASE: Script = Script::new(include_str!("lua/release.lua"), MAX_TIMEOUT);
static INVALIDATE: Script = Script::new(include_str!("lua/invalidate.lua"), MAX_TIMEOUT);
static BEAT: Script = Script::new(include_str!("lua/beat.lua"), MAX_TIMEOUT);

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
pub(crate) struct Names {
    pub(crate) keys: [String; 3],
    /// The kind of key, as the label `ns` of metrics.
    pub(crate) space: &'static str,
}

impl Step {
    fn script(self) -> &'static Script {
        match self {
            Self::Acquire => &ACQUIRE,
            Self::Fill => &FILL,
            Self::Renew => &RENEW,
            Self::Release => &RELEASE,
            Self::Invalidate => &INVALIDATE,
            Self::Beat => &BEAT,
        }
    }

    /// Has Redis run it on `keys`, which lie in one slot of a cluster.
    pub(crate) async fn run<R: FromValue>(
        self,
        connection: &Connection,
        timeout: Duration,
        keys: &[String],
        args: Vec<Value>,
    ) -> Result<R, Error> {
        let began = Instant::now();
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let answer = within(timeout, connection.eval(self.script(), &keys, args)).await;
        metrics::histogram!("cache_redis_seconds", "cmd" => self.name()).record(began.elapsed());
        if let Err(error) = &answer {
            let kind = if is_absence(error) { "absent" } else { "refused" };
            metrics::counter!("cache_redis_errors_total", "kind" => kind).increment(1);
        }
        answer
    }
}

impl Names {
    pub(crate) fn of(key: &str, spaces: &[&'static str]) -> Self {
        let keys = [key.to_owned(), format!("cl:{{{key}}}"), format!("cm:{{{key}}}")];
        Self { keys, space: space(key, spaces) }
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

/// The kind of a key, as the label `ns` of metrics: its space without the colon.
pub(crate) fn space(key: &str, spaces: &[&'static str]) -> &'static str {
    let space = spaces.iter().find(|space| key.contains(**space));
    space.map_or("other", |space| space.trim_end_matches(':'))
}
