//! The Lua scripts of the cache, each an atomic step of its protocol.

use std::time::Duration;

use examhall_redis::{Connection, FromValue, Script, Value};

use crate::{
    Error,
    connection::{MAX_TIMEOUT, measured},
};

pub(crate) static ACQUIRE: Step =
    Step::new("acquire", concat!(include_str!("lua/generations.lua"), include_str!("lua/acquire.lua")));
/// For each key what [`ACQUIRE`] does.
pub(crate) static ACQUIRE_MANY: Step = Step::new(
    "acquire_many",
    concat!(
        include_str!("lua/generations.lua"),
        "local function acquire(KEYS, ARGV)\n",
        include_str!("lua/acquire.lua"),
        "\nend\n",
        include_str!("lua/each.lua")
    ),
);
pub(crate) static PEEK: Step =
    Step::new("peek", concat!(include_str!("lua/generations.lua"), include_str!("lua/peek.lua")));
pub(crate) static FILL: Step =
    Step::new("fill", concat!(include_str!("lua/generations.lua"), include_str!("lua/fill.lua")));
pub(crate) static RENEW: Step = Step::new("renew", include_str!("lua/renew.lua"));
pub(crate) static RELEASE: Step = Step::new("release", include_str!("lua/release.lua"));
pub(crate) static INVALIDATE: Step = Step::new("invalidate", include_str!("lua/invalidate.lua"));
pub(crate) static HEARTBEAT: Step = Step::new("beat", include_str!("lua/heartbeat.lua"));

/// A script, with its name as the label `cmd` of metrics.
pub(crate) struct Step {
    name: &'static str,
    script: Script,
}

impl Step {
    const fn new(name: &'static str, source: &'static str) -> Self {
        Self { name, script: Script::new(source, MAX_TIMEOUT) }
    }

    /// Runs the script on `keys`, which are in one slot of a cluster.
    pub(crate) async fn run<R: FromValue>(
        &'static self,
        connection: &Connection,
        timeout: Duration,
        keys: &[impl AsRef<str>],
        args: Vec<Value>,
    ) -> Result<R, Error> {
        let keys: Vec<&str> = keys.iter().map(AsRef::as_ref).collect();
        measured(self.name, timeout, connection.eval(&self.script, &keys, args)).await
    }
}
