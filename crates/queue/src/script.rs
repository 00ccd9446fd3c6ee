//! The Lua scripts: one constant each, written for this crate from the facts of BullMQ's layout.

use std::time::Duration;

use examhall_redis::Script;

/// Our scripts run in well under 10 ms.
const TIMEOUT: Duration = Duration::from_secs(2);
/// For answers with the data of jobs, which may have many megabytes.
const TIMEOUT_WITH_DATA: Duration = Duration::from_secs(10);

macro_rules! script {
    ($name:ident = $($part:tt)+) => {
        script!(with TIMEOUT, $name = $($part)+);
    };
    (with $timeout:ident, $name:ident = $($part:tt)+) => {
        pub(crate) static $name: Script = Script::new(concat!($(source!($part)),+), $timeout);
    };
}

/// A file, or in brackets the files that make up the function `lazily`: Lua creates the functions of a script each time it
/// runs, which costs more than some commands do, but those within a function only when that is called.
macro_rules! source {
    ([$($part:tt)+]) => {
        concat!("local function lazily()\n", $(source!($part),)+ "end\n")
    };
    ($part:literal) => {
        include_str!(concat!("lua/", $part, ".lua"))
    };
}

script!(ADD = "head" "lib" "add");
script!(CHANGE_DELAY = "head" "codes" "lib" "state_lib" "change_delay");
script!(CHANGE_PRIORITY = "head" "codes" "lib" "meta" "ready_lib" "change_priority");
script!(CLEAN = "head" "lib" "job_lib" "erase_lib" "state_lib" "clean");
script!(COUNTS = "head" "lib" "counts");
script!(COUNTS_PER_PRIORITY = "head" "lib" "counts_per_priority");
script!(EXTEND = "head" "extend");
script!(EXTEND_LOCK = "head" "codes" "extend_lock");
script!(FREE_DEDUPLICATION_ID = "head" "free_deduplication_id");
script!(with TIMEOUT_WITH_DATA, GET = "head" "state_lib" "get");
script!(IS_MAXED = "head" "is_maxed");
script!(LIMIT_TTL = "head" "limit_ttl");
script!(with TIMEOUT_WITH_DATA, LIST = "head" "lib" "list");
script!(LOG = "head" "codes" "log");
script!(OBLITERATE = "head" "codes" "job_lib" "erase_lib" "obliterate");
script!(OLDEST_WAITING = "head" "lib" "oldest_waiting");
script!(PAUSE = "head" "lib" "pause");
script!(with TIMEOUT_WITH_DATA, POLL = "head" "codes" "job_lib" "read_lib" "poll_head" ["lib" "ready_lib" "outcomes"] "poll");
script!(PROGRESS = "head" "codes" "lib" "progress");
script!(PROMOTE = "head" "codes" "lib" "meta" "ready_lib" "state_lib" "promote");
script!(PROMOTE_ALL = "head" "lib" "meta" "ready_lib" "promote_all");
script!(READ_FIELDS = "head" "read_lib" "read_fields");
script!(REAP = "head" "lib" "meta" "ready_lib" "recover_lib" "reap");
script!(with TIMEOUT_WITH_DATA, RECLAIM = "head" "read_lib" "reclaim");
script!(RECOVER = "head" "lib" "meta" "ready_lib" "recover_lib" "recover");
script!(REMOVE = "head" "codes" "lib" "job_lib" "erase_lib" "state_lib" "remove");
script!(REPLACE_DATA = "head" "replace_data");
script!(RESUME = "head" "lib" "resume");
script!(RETRY = "head" "codes" "lib" "meta" "ready_lib" "state_lib" "retry_lib" "retry");
script!(RETRY_JOBS = "head" "lib" "meta" "ready_lib" "retry_lib" "retry_jobs");
script!(STATES = "head" "job_lib" "state_lib" "states");
script!(SUSPECTS = "head" "suspects");
script!(UPDATE_DATA = "head" "codes" "update_data");
