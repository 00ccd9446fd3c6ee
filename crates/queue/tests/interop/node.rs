//! BullMQ as it runs in Node.js, in a child process.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use examhall_testkit::{Redis, eventually};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, Command},
    sync::Mutex as AsyncMutex,
};

/// Longer than any call takes, so that a busy machine fails no test.
const TIMEOUT: Duration = Duration::from_secs(40);

/// A Node.js process with one version of BullMQ at hand, or both.
pub(crate) struct Node {
    version: u8,
    child: AsyncMutex<Child>,
    stdin: AsyncMutex<ChildStdin>,
    /// Every line it wrote: answers, and what it tells of.
    lines: Arc<Mutex<Vec<Value>>>,
    asked: Mutex<u64>,
}

/// A run of a job by a worker of Node.
#[derive(Clone, Debug)]
pub(crate) struct NodeRun {
    /// When it began, in ms since 1970.
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
    /// Starts one; `version` is BullMQ's where a call names none.
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
                keep.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        Self { version, child: AsyncMutex::new(child), stdin, lines, asked: Mutex::new(0) }
    }

    /// BullMQ's major version.
    pub(crate) fn version(&self) -> u8 {
        self.version
    }

    /// Does `op`, in the named version where `request` has one; gives what it says, or the message of what it throws.
    pub(crate) async fn ask(&self, op: &str, mut request: Value) -> Result<Value, String> {
        let id = {
            let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
            *asked += 1;
            *asked
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
        self.ask("queue", json!({"call": call, "args": args})).await.unwrap_or_else(|error| unexpected(call, &error))
    }

    /// Adds a job and gives its id.
    pub(crate) async fn add(&self, data: Value, options: Value) -> String {
        let job = self.queue("add", json!(["mail", data, options])).await;
        job["id"].as_str().expect("a job has an id").to_owned()
    }

    /// Calls a method of BullMQ's `Job`.
    pub(crate) async fn job(&self, id: &str, call: &str, args: Value) -> Value {
        let request = json!({"jobId": id, "call": call, "args": args});
        self.ask("job", request).await.unwrap_or_else(|error| unexpected(call, &error))
    }

    /// Starts a worker of Node.
    pub(crate) async fn worker(&self, name: &str, options: Value) {
        let request = json!({"name": name, "options": options});
        self.ask("worker", request).await.unwrap_or_else(|error| unexpected("worker", &error));
    }

    /// Starts a `QueueEvents`: from now on it sees everything.
    pub(crate) async fn listen(&self) {
        self.ask("events", json!({})).await.unwrap_or_else(|error| unexpected("events", &error));
    }

    /// Everything of this kind that it has told of.
    pub(crate) fn told(&self, event: &str) -> Vec<Value> {
        self.find(|line| line["event"] == event)
    }

    /// What its `QueueEvents` saw under this name.
    pub(crate) fn saw(&self, name: &str) -> Vec<Value> {
        let events = self.find(|line| line["event"] == "queue-event" && line["name"] == name);
        events.into_iter().map(|mut event| event["what"].take()).collect()
    }

    /// The runs so far of its workers.
    pub(crate) fn runs(&self) -> Vec<NodeRun> {
        let told = self.told("run").into_iter();
        told.map(|mut run| NodeRun { at: run["at"].as_i64().unwrap_or_default(), job: run["job"].take() }).collect()
    }

    /// Waits for this many runs, and gives all there are.
    pub(crate) async fn after_runs(&self, count: usize) -> Vec<NodeRun> {
        let enough = || async { Some(self.runs()).filter(|runs| runs.len() >= count) };
        eventually(&format!("{count} runs by Node"), TIMEOUT, enough).await
    }

    /// Ends it at once (SIGKILL).
    pub(crate) async fn kill(&self) {
        self.child.lock().await.kill().await.expect("it runs");
    }

    fn find(&self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().filter(|line| wanted(line)).cloned().collect()
    }
}

#[expect(clippy::panic, reason = "a panic is how a test fails")]
fn unexpected(call: &str, error: &str) -> Value {
    panic!("{call} in Node: {error}");
}
