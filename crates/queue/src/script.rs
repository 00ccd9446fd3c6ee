//! The Lua scripts: one constant each, written for this crate from the facts of BullMQ's layout.

use std::{sync::LazyLock, time::Duration};

/// A Lua script and the name under which Redis keeps it.
pub(crate) struct Script {
    source: &'static str,
    sha: LazyLock<String>,
    /// How long its answer may take.
    pub(crate) patience: Duration,
}

/// Scripts of ours run well under 10 ms.
const PATIENCE: Duration = Duration::from_secs(2);
/// For answers that hold the data of jobs, which may have many megabytes.
const PATIENCE_WITH_DATA: Duration = Duration::from_secs(10);

macro_rules! script {
    ($name:ident = $($part:tt)+) => {
        script!(with PATIENCE, $name = $($part)+);
    };
    (with $patience:ident, $name:ident = $($part:tt)+) => {
        pub(crate) static $name: Script = Script {
            source: concat!($(source!($part)),+),
            sha: LazyLock::new(|| fred::util::sha1_hash($name.source)),
            patience: $patience,
        };
    };
}

/// A file, or in brackets those that make up the function `lazily`: Lua makes all functions of a script anew whenever it
/// runs, which costs more than some commands do, and those within a function only when that is called.
macro_rules! source {
    ([$($part:tt)+]) => {
        concat!("local function lazily()\n", $(source!($part),)+ "end\n")
    };
    ($part:literal) => {
        include_str!(concat!("lua/", $part, ".lua"))
    };
}

script!(ADD = "head" "lib" "add");
script!(with PATIENCE_WITH_DATA, ADOPT = "head" "read_lib" "adopt");
script!(BURY = "head" "lib" "recover_lib" "bury");
script!(CLEAN = "head" "lib" "job_lib" "state_lib" "clean");
script!(COUNTS = "head" "lib" "counts");
script!(with PATIENCE_WITH_DATA, EXCHANGE = "head" "job_lib" "read_lib" "turn" ["lib" "outcomes"] "exchange");
script!(EXTEND = "head" "extend");
script!(with PATIENCE_WITH_DATA, GET = "head" "state_lib" "get");
script!(LEASE = "lease");
script!(LEDGER = "ledger");
script!(LIMIT = "limit");
script!(LIMIT_BACK = "limit_back");
script!(with PATIENCE_WITH_DATA, LIST = "head" "lib" "list");
script!(LOG = "head" "lib" "log");
script!(OBLITERATE = "head" "lib" "job_lib" "obliterate");
script!(OLDEST = "head" "lib" "oldest");
script!(PAUSE = "head" "lib" "pause");
script!(PROGRESS = "head" "lib" "progress");
script!(PROMOTE = "head" "lib" "state_lib" "promote");
script!(RECOVER = "head" "lib" "recover_lib" "recover");
script!(REMOVE = "head" "lib" "job_lib" "state_lib" "remove");
script!(RESUME = "head" "lib" "resume");
script!(RETRY = "head" "lib" "state_lib" "retry_lib" "retry");
script!(RETRY_FAILED = "head" "lib" "retry_lib" "retry_failed");
script!(STATES = "head" "lib" "job_lib" "state_lib" "states");
script!(STRIKE = "strike");
script!(SUSPECTS = "head" "lib" "suspects");
script!(WIPE = "head" "lib" "wipe");

impl Script {
    pub(crate) fn source(&self) -> &'static str {
        self.source
    }

    pub(crate) fn sha(&'static self) -> &'static str {
        &self.sha
    }
}
