//! Our worker in a process of its own, so that it can be killed as a process is killed.
//!
//! The process is this test binary once more: it runs the one test below, which sees from its environment that it is
//! to work until it is killed.

use std::time::Duration;

use examhall_queue::WorkerOptions;
use examhall_testkit::{Process, Redis};
use serde_json::json;
use tokio::process::Command;

use crate::{
    ours::{Ours, quick},
    scenario::Scenario,
};

/// Where the process finds the Redis to work for.
const REDIS_URL: &str = "EXAMHALL_INTEROP_WORKER_OF";

/// Starts our worker in a process of its own; it ends with the handle.
pub(crate) fn start(redis: &Redis) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("a running test has a path"));
    command.args(["--exact", "process::worker_runs_in_a_process_of_its_own", "--nocapture"]);
    Process::spawn("our worker", command.env(REDIS_URL, redis.url()))
}

#[tokio::test]
async fn worker_runs_in_a_process_of_its_own() {
    if let Ok(url) = std::env::var(REDIS_URL) {
        // One slot: a job that hangs in it is not taken again by the same process, however busy the machine is.
        let options = WorkerOptions { concurrency: 1, lock: Duration::from_secs(1), ..quick() };
        let _ours = Ours::start(&url, options).await;
        return std::future::pending().await;
    }
    let scenario = Scenario::start(6).await;
    let _process = start(&scenario.redis);
    scenario.node.add(json!({}), json!({})).await;
    scenario.once_in("completed", 1).await;
    scenario.sweep().await;
}
