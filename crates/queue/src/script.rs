//! The Lua scripts: one constant each, written for this crate from the facts of BullMQ's layout.

use std::time::Duration;

use examhall_redis::Script;

/// Our scripts run in well under 10 ms.
const TIMEOUT: Duration = Duration::from_secs(2);
/// For answers with the data of jobs, which may have many megabytes.
const TIMEOUT_WITH_DATA: Duration = Duration::from_secs(10);

/// Longest data of a job that a worker reads, in bytes.
macro_rules! longest_data {
    () => {
        8_388_608
    };
}
pub(crate) use longest_data;

/// Longest data of a job that a search reads, in bytes.
macro_rules! longest_searched {
    () => {
        32_768
    };
}

macro_rules! script {
    ($name:ident = $($part:tt)+) => {
        script!(with TIMEOUT, $name = $($part)+);
    };
    (with $timeout:ident, $name:ident = $($part:tt)+) => {
        pub(crate) static $name: Script = Script::new(concat!($(source!($part)),+), $timeout);
    };
}

/// A file; in braces, a constant; in parentheses, a function and the files that it is made of; or in brackets, the files of
/// the function `lazily`. Lua creates the functions of a script each time it runs, which costs more than some commands do,
/// but those within a function only when that is called.
macro_rules! source {
    ([$($part:tt)+]) => {
        source!(("lazily" $($part)+))
    };
    ({ $constant:literal $macro:ident }) => {
        concat!("local ", $constant, " = ", $macro!(), "\n")
    };
    (($function:literal $($part:tt)+)) => {
        concat!("local function ", $function, "()\n", $(source!($part),)+ "end\n")
    };
    ($part:literal) => {
        include_str!(concat!("lua/", $part, ".lua"))
    };
}

/// A script that changes the states of jobs.
macro_rules! transition {
    ($name:ident = $($part:tt)+) => {
        script!(
            $name = "head" "codes" "types" "check_types" "settings" "lib" "delay_lib" "job_lib" "dedup_lib" "place" "split_key" "flow_lib" "transitions" $($part)+
        );
    };
}

script!(ADD = "head" "settings" ["lib" "exists_lib" "delay_lib" "add_seldom"] "add");
script!(
    ADD_DEDUPLICATED = "head" "settings" "lib" "exists_lib" "job_lib" "delay_lib" ["add_seldom"] ("add" "add")
        "add_deduplicated"
);
transition!(ADD_FLOW = "add_flow");
transition!(ADVANCE_SCHEDULER = "schedule_lib" "advance_scheduler");
transition!(CHANGE_DELAY = "change_delay");
transition!(CHANGE_PRIORITY = "change_priority");
transition!(CLEAN = "clean");
script!(COUNTS = "head" "delay_lib" "counts");
script!(COUNTS_PER_PRIORITY = "head" "lib" "counts_per_priority");
script!(DIAGNOSE = "head" "types" "diagnose");
script!(EXTEND = "head" "extend");
script!(EXTEND_LOCK = "head" "codes" "extend_lock");
script!(with TIMEOUT_WITH_DATA, FLOW_NODE = "head" "place" "split_key" "flow_node");
script!(FREE_DEDUPLICATION_ID = "head" "free_deduplication_id");
script!(with TIMEOUT_WITH_DATA, GET = "head" "place" "get");
script!(IS_MAXED = "head" "is_maxed");
script!(LIMIT_TTL = "head" "limit_ttl");
script!(with TIMEOUT_WITH_DATA, LIST = "head" "list");
script!(LIST_SCHEDULERS = "head" "list_schedulers");
script!(LOG = "head" "codes" "log");
script!(METRICS = "head" "metrics");
transition!(OBLITERATE = "obliterate");
script!(OLDEST_WAITING = "head" "settings" "lib" "oldest_waiting");
script!(PASS_ON = "head" "settings" "lib" "pass_on");
transition!(PAUSE = "pause");
script!(
    with TIMEOUT_WITH_DATA,
    POLL = "head" "codes" "settings" "job_lib" { "LONGEST" longest_data } "read_lib" "poll_head"
        [
            "types" "lib" "delay_lib" "dedup_lib" "place" "split_key" "flow_lib" "transitions" "dedup_next" "poll_keep" "outcomes"
            "poll_seldom" "poll_metrics"
        ]
        "poll_report" "poll_take"
);
script!(PROGRESS = "head" "codes" "settings" "lib" "progress");
transition!(PROMOTE = "promote");
transition!(PROMOTE_ALL = "promote_all");
script!(READ_FIELDS = "head" { "LONGEST" longest_data } "read_lib" "read_taken" "read_fields");
transition!(REAP = "silence" "reap");
script!(with TIMEOUT_WITH_DATA, RECLAIM = "head" { "LONGEST" longest_data } "read_lib" "read_taken" "reclaim");
transition!(RECOVER = "recover");
transition!(REMOVE = "remove");
transition!(REMOVE_SCHEDULER = "remove_scheduler");
transition!(REMOVE_UNPROCESSED_CHILDREN = "remove_unprocessed_children");
script!(REPLACE_DATA = "head" "replace_data");
transition!(RESUME = "resume");
transition!(RETRY = "retry");
transition!(RETRY_JOBS = "retry_jobs");
transition!(REMOVE_ORPHANED = "remove_orphaned");
script!(SEARCH = "head" { "LARGEST" longest_searched } "summary_lib" "search");
script!(STATES = "head" "place" "states");
script!(SUMMARIES = "head" { "LARGEST" longest_searched } "summary_lib" "summaries");
script!(SUSPECTS = "head" "silence" "suspects");
script!(UPDATE_DATA = "head" "codes" "update_data");
transition!(UPSERT_SCHEDULER = "schedule_lib" "upsert_scheduler");
