//! BullMQ in a Node.js process.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use examhall_testkit::{Redis, eventually};
use parking_lot::Mutex;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::Mutex as AsyncMutex,
};

/// Long enough for any call on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A Node.js process with both versions of BullMQ.
pub(crate) struct Node {
    version: u8,
    child: AsyncMutex<Child>,
    stdin: AsyncMutex<ChildStdin>,
    /// Lines that it wrote: answers and messages.
    lines: Arc<Mutex<Vec<Value>>>,
    requests: Mutex<u64>,
}

/// A run of a job by a Node worker.
#[derive(Clone, Debug)]
pub(crate) struct NodeRun {
    /// When it started, in ms since 1970.
    pub(crate) at: i64,
    /// The job as its handler sees it.
    pub(crate) job: Value,
}

impl NodeRun {
    pub(crate) fn id(&self) -> &str {
        self.job["id"].as_str().unwrap_or_default()
    }
}

fn program() -> PathBuf {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/interop/node");
    assert!(folder.join("node_modules").exists(), "BullMQ is not installed: run ./scripts/test, which installs it");
    folder.join("main.mjs")
}

impl Node {
    /// Starts a process; `version` is BullMQ's for requests without one.
    pub(crate) fn start(redis: &Redis, version: u8) -> Self {
        let mut command = Command::new("node");
        command.arg(program()).arg(redis.port().to_string()).kill_on_drop(true);
        let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = child.expect("Node.js is missing: run ./scripts/test, which installs it");
        let stdin = AsyncMutex::new(child.stdin.take().expect("stdin is piped"));
        let mut output = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&lines);
        tokio::spawn(async move {
            while let Ok(Some(line)) = output.next_line().await {
                let line = serde_json::from_str(&line).expect("every line is JSON");
                keep.lock().push(line);
            }
        });
        Self { version, child: AsyncMutex::new(child), stdin, lines, requests: Mutex::new(0) }
    }

    /// Returns BullMQ's major version.
    pub(crate) fn version(&self) -> u8 {
        self.version
    }

    /// Runs `op`, and returns its result or the message of its exception.
    pub(crate) async fn request(&self, op: &str, mut request: Value) -> Result<Value, String> {
        let id = {
            let mut requests = self.requests.lock();
            *requests += 1;
            *requests
        };
        request["id"] = id.into();
        request["op"] = op.into();
        if request.get("version").is_none() {
            request["version"] = self.version.into();
        }
        let line = format!("{request}\n");
        self.stdin.lock().await.write_all(line.as_bytes()).await.expect("Node.js runs");
        let answered = || async { self.find(|line| line["id"] == id).into_iter().next() };
        let answer = eventually(&format!("Node answers {line}"), TIMEOUT, answered).await;
        match answer.get("error") {
            Some(error) => Err(error.as_str().unwrap_or_default().to_owned()),
            None => Ok(answer["ok"].clone()),
        }
    }

    /// Calls a method of BullMQ's `Queue`.
    pub(crate) async fn queue(&self, call: &str, args: Value) -> Value {
        self.request("queue", json!({"call": call, "args": args}))
            .await
            .unwrap_or_else(|error| unexpected(call, &error))
    }

    /// Adds a job and returns its id.
    pub(crate) async fn add(&self, data: Value, options: Value) -> String {
        let job = self.queue("add", json!(["mail", data, options])).await;
        job["id"].as_str().expect("a job has an id").to_owned()
    }

    /// Calls a method of BullMQ's `Job`.
    pub(crate) async fn job(&self, id: &str, call: &str, args: Value) -> Value {
        let request = json!({"jobId": id, "call": call, "args": args});
        self.request("job", request).await.unwrap_or_else(|error| unexpected(call, &error))
    }

    /// Starts a Node worker.
    pub(crate) async fn worker(&self, name: &str, options: Value) {
        let request = json!({"name": name, "options": options});
        self.request("worker", request).await.unwrap_or_else(|error| unexpected("worker", &error));
    }

    /// Starts a `QueueEvents`, which sees events from now on.
    pub(crate) async fn listen(&self) {
        self.request("events", json!({})).await.unwrap_or_else(|error| unexpected("events", &error));
    }

    /// Returns its messages of one kind.
    pub(crate) fn messages(&self, event: &str) -> Vec<Value> {
        self.find(|line| line["event"] == event)
    }

    /// Returns the events of this name that its `QueueEvents` has seen.
    pub(crate) fn seen(&self, name: &str) -> Vec<Value> {
        let events = self.find(|line| line["event"] == "queue-event" && line["name"] == name);
        events.into_iter().map(|mut event| event["what"].take()).collect()
    }

    /// Returns the runs so far of its workers.
    pub(crate) fn runs(&self) -> Vec<NodeRun> {
        let runs = self.messages("run").into_iter();
        runs.map(|mut run| NodeRun { at: run["at"].as_i64().unwrap_or_default(), job: run["job"].take() }).collect()
    }

    /// Waits for `count` runs, and returns all runs.
    pub(crate) async fn after_runs(&self, count: usize) -> Vec<NodeRun> {
        let enough = || async { Some(self.runs()).filter(|runs| runs.len() >= count) };
        eventually(&format!("{count} runs by Node"), TIMEOUT, enough).await
    }

    /// Kills it (SIGKILL).
    pub(crate) async fn kill(&self) {
        self.child.lock().await.kill().await.expect("it runs");
    }

    fn find(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let lines = self.lines.lock();
        lines.iter().filter(|line| wanted(line)).cloned().collect()
    }
}

#[expect(clippy::panic, reason = "a panic is how a test fails")]
fn unexpected(call: &str, error: &str) -> Value {
    panic!("{call} in Node: {error}");
}
