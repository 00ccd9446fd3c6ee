//! The Lua scripts: one constant each, written for this crate from the facts of BullMQ's layout.

use std::time::Duration;

use examhall_redis::Script;

/// Scripts of ours run well under 10 ms.
const TIMEOUT: Duration = Duration::from_secs(2);
/// For answers that hold the data of jobs, which may have many megabytes.
const TIMEOUT_WITH_DATA: Duration = Duration::from_secs(10);

macro_rules! script {
    ($name:ident = $($part:tt)+) => {
        script!(with TIMEOUT, $name = $($part)+);
    };
    (with $timeout:ident, $name:ident = $($part:tt)+) => {
        pub(crate) static $name: Script = Script::new(concat!($(source!($part)),+), $timeout);
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
script!(with TIMEOUT_WITH_DATA, ADOPT = "head" "read_lib" "adopt");
script!(BURY = "head" "lib" "recover_lib" "bury");
script!(CLEAN = "head" "lib" "job_lib" "state_lib" "clean");
script!(COUNTS = "head" "lib" "counts");
script!(with TIMEOUT_WITH_DATA, EXCHANGE = "head" "job_lib" "read_lib" "turn" ["lib" "outcomes"] "exchange");
script!(EXTEND = "head" "extend");
script!(with TIMEOUT_WITH_DATA, GET = "head" "state_lib" "get");
script!(with TIMEOUT_WITH_DATA, LIST = "head" "lib" "list");
script!(LOG = "head" "lib" "log");
script!(OBLITERATE = "head" "lib" "job_lib" "obliterate");
script!(OLDEST = "head" "lib" "oldest");
script!(PAUSE = "head" "lib" "pause");
script!(PROGRESS = "head" "lib" "progress");
script!(PROMOTE = "head" "lib" "state_lib" "promote");
script!(RECOVER = "head" "lib" "recover_lib" "recover");
script!(REMOVE = "head" "lib" "job_lib" "state_lib" "remove");
script!(REPLACE_DATA = "head" "lib" "replace_data");
script!(RESUME = "head" "lib" "resume");
script!(RETRY = "head" "lib" "state_lib" "retry_lib" "retry");
script!(RETRY_FAILED = "head" "lib" "retry_lib" "retry_failed");
script!(STATES = "head" "lib" "job_lib" "state_lib" "states");
script!(SUSPECTS = "head" "lib" "suspects");
