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
    ($name:ident = $($part:literal)+) => {
        script!($name = $($part)+, PATIENCE);
    };
    ($name:ident = $($part:literal)+, $patience:ident) => {
        pub(crate) static $name: Script = Script {
            source: concat!($(include_str!(concat!("lua/", $part, ".lua"))),+),
            sha: LazyLock::new(|| fred::util::sha1_hash($name.source)),
            patience: $patience,
        };
    };
}

script!(ADD = "lib" "add");
script!(ADOPT = "lib" "adopt", PATIENCE_WITH_DATA);
script!(BURY = "lib" "recover_lib" "bury");
script!(CLEAN = "lib" "job_lib" "state_lib" "clean");
script!(COUNTS = "lib" "counts");
script!(EXCHANGE = "lib" "job_lib" "exchange", PATIENCE_WITH_DATA);
script!(EXTEND = "lib" "extend");
script!(GET = "lib" "state_lib" "get", PATIENCE_WITH_DATA);
script!(LEASE = "lease");
script!(LEDGER = "ledger");
script!(LIMIT = "limit");
script!(LIST = "lib" "list", PATIENCE_WITH_DATA);
script!(LOG = "lib" "log");
script!(OBLITERATE = "lib" "job_lib" "obliterate");
script!(OLDEST = "lib" "oldest");
script!(PAUSE = "lib" "pause");
script!(PROGRESS = "lib" "progress");
script!(PROMOTE = "lib" "state_lib" "promote");
script!(RECOVER = "lib" "recover_lib" "recover");
script!(REMOVE = "lib" "job_lib" "state_lib" "remove");
script!(RESUME = "lib" "resume");
script!(RETRY = "lib" "state_lib" "retry_lib" "retry");
script!(RETRY_FAILED = "lib" "retry_lib" "retry_failed");
script!(STRIKE = "strike");
script!(SUSPECTS = "lib" "suspects");
script!(WIPE = "lib" "wipe");

impl Script {
    pub(crate) fn source(&self) -> &'static str {
        self.source
    }

    pub(crate) fn sha(&'static self) -> &'static str {
        &self.sha
    }
}
