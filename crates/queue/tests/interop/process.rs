//! Our worker in a process of its own, so that it can be killed.
//!
//! The process is this test binary again: it runs the test below, which its environment makes a worker until it is killed.

use std::time::Duration;

use examhall_testkit::{Process, Redis};
use serde_json::json;
use tokio::process::Command;

use crate::{
    ours::{Ours, quick},
    scenario::Scenario,
};

/// Variable with the URL of the worker's Redis.
const REDIS_URL: &str = "EXAMHALL_INTEROP_WORKER_OF";

/// Starts our worker in a process that ends with the handle.
pub(crate) fn start(redis: &Redis) -> Process {
    let mut command = Command::new(std::env::current_exe().expect("a running test has a path"));
    command.args(["--exact", "process::worker_runs_in_a_process_of_its_own", "--nocapture"]);
    Process::spawn("our worker", command.env(REDIS_URL, redis.url()))
}

#[tokio::test]
async fn worker_runs_in_a_process_of_its_own() {
    if let Ok(url) = std::env::var(REDIS_URL) {
        // One slot: the process cannot take the job that hangs in it again.
        let options = quick().concurrency(1).lock(Duration::from_secs(1));
        let _ours = Ours::start(&url, options).await;
        return std::future::pending().await;
    }
    let scenario = Scenario::start(6).await;
    let _process = start(&scenario.redis);
    scenario.node.add(json!({}), json!({})).await;
    scenario.once_in("completed", 1).await;
    scenario.check().await;
}
