//! Node programs on the same queue: a producer that adds mails without the API, and a worker that sends some, of whomever.
//!
//! Neither knows rows or ledger. A mail of the producer is in Redis alone: it is lost with it. A mail that the worker has
//! sent is sent again where the worker dies before its job has ended, and nobody says so: that is BullMQ's promise.

use std::{path::Path, time::Duration};

use examhall_testkit::Process;
use serde_json::Value;
use time::OffsetDateTime;
use tokio::process::Command;

use crate::producer::Promise;

/// How long the producer may take to end.
const TIMEOUT: Duration = Duration::from_mins(2);
/// What the ids of the producer's jobs begin with.
pub(crate) const ID_PREFIX: &str = "node-";
/// What the `Message-ID` of a mail that the worker has sent ends with.
pub(crate) const DOMAIN: &str = "@node.example";

/// Both.
pub(crate) struct Node {
    producer: Process,
    /// It is away at times.
    worker: Option<Process>,
    redis: String,
    smtp: String,
    promises: Vec<Promise>,
}

impl Node {
    /// Starts them; `redis` and `smtp` are ports.
    pub(crate) async fn start(redis: u16, smtp: u16) -> Self {
        let (redis, smtp) = (redis.to_string(), smtp.to_string());
        let producer = spawn(&["produce", &redis, "0"]).await;
        let worker = Some(spawn(&["send", &redis, &smtp]).await);
        Self { producer, worker, redis, smtp, promises: Vec::new() }
    }

    /// Starts the worker where it is away; returns whether it was.
    pub(crate) async fn resume(&mut self) -> bool {
        let is_away = self.worker.is_none();
        if is_away {
            self.worker = Some(spawn(&["send", &self.redis, &self.smtp]).await);
        }
        is_away
    }

    /// Kills the worker (SIGKILL). It stays away until [`resume`](Self::resume).
    pub(crate) async fn kill_worker(&mut self) {
        if let Some(mut worker) = self.worker.take() {
            worker.kill().await;
        }
    }

    /// Kills the producer (SIGKILL) and starts it again with the job that it may have added without hearing so.
    pub(crate) async fn kill_producer(&mut self) {
        self.producer.kill().await;
        self.producer.end_of_output().await;
        self.read();
        self.producer = spawn(&["produce", &self.redis, &self.promises.len().to_string()]).await;
    }

    /// Reads what was added since.
    pub(crate) fn read(&mut self) {
        for line in self.producer.take_lines() {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if let (Some(id), Some(at)) = (line["added"].as_str(), line["at"].as_i64()) {
                let at = OffsetDateTime::UNIX_EPOCH + time::Duration::milliseconds(at);
                self.promises.push(Promise { job_id: id.to_owned(), at, requests: 1 });
            }
        }
    }

    /// Ends both; returns what was added.
    pub(crate) async fn finish(&mut self) -> Vec<Promise> {
        self.producer.terminate();
        self.producer.exit(TIMEOUT).await;
        self.kill_worker().await;
        self.read();
        std::mem::take(&mut self.promises)
    }
}

async fn spawn(args: &[&str]) -> Process {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("node/mails.mjs");
    let mut command = Command::new("node");
    command.arg(script).args(args).env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    let process = Process::spawn("node", &mut command);
    process.line("ready").await;
    process
}
