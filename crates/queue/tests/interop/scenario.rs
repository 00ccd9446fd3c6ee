//! Fixture of a scenario: Redis, Node.js and a queue.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use examhall_queue::{Connection, JobOptions, NewJob, Queue, WorkerOptions};
use examhall_testkit::{Redis, eventually};
use serde_json::{Value, json};

use crate::{layout, node::Node, ours::Ours, snapshot::Snapshot};

pub(crate) const PREFIX: &str = "bull:email:";

/// Long enough for a busy machine.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(40);

/// Largest delay in ms after a wake-up: a very busy machine needs 150 ms, and without the wake-up it would be far longer.
pub(crate) const PROMPT: i64 = 4_000;

/// Longest block of the workers of such a scenario, in s.
pub(crate) const DRAIN_DELAY: u64 = 9;

/// A queue `bull:email` on a Redis of its own, with a Node.js process.
pub(crate) struct Scenario {
    pub(crate) redis: Redis,
    pub(crate) node: Node,
    pub(crate) queue: Queue<Value>,
}

impl Scenario {
    pub(crate) async fn start(version: u8) -> Self {
        let redis = Redis::start().await;
        let node = Node::start(&redis, version);
        let queue = Queue::new(connect(&redis.url()).await, "bull", "email").expect("good names");
        Self { redis, node, queue }
    }

    /// Adds a job with our producer.
    pub(crate) async fn add(&self, data: Value, options: JobOptions) -> String {
        self.queue.add(NewJob::new("mail", data).options(options)).await.expect("added")
    }

    /// Writes a job without a marker, as another client might.
    pub(crate) async fn write_raw(&self, id: &str, data: &Value, options: &Value) {
        let [key, wait] = [id, "wait"].map(|name| format!("{PREFIX}{name}"));
        let (data, options, now) = (data.to_string(), options.to_string(), now_ms().to_string());
        let fields = ["HSET", &key, "name", "mail", "data", &data, "opts", &options, "timestamp", &now];
        self.redis.command::<i64>(&fields).await;
        self.redis.command::<i64>(&["LPUSH", &wait, id]).await;
    }

    /// Starts our worker.
    pub(crate) async fn ours(&self, options: WorkerOptions) -> Ours {
        Ours::start(&self.redis.url(), options).await
    }

    pub(crate) async fn snapshot(&self) -> Snapshot {
        Snapshot::take(&self.redis).await
    }

    /// Waits until `ready` holds, and returns the snapshot.
    pub(crate) async fn once(&self, what: &str, ready: impl Fn(&Snapshot) -> bool) -> Snapshot {
        eventually(what, TIMEOUT, || async { Some(self.snapshot().await).filter(&ready) }).await
    }

    /// Waits until N jobs are in a state, and returns the snapshot.
    pub(crate) async fn once_in(&self, state: &str, count: usize) -> Snapshot {
        let size = format!("{} {PREFIX}{state}", if state == "active" { "LLEN" } else { "ZCARD" });
        let all_there = || async {
            // Snapshots are too expensive for polling while a fleet works.
            if self.redis.cmd::<usize>(&size).await != count {
                return None;
            }
            Some(self.snapshot().await).filter(|now| now.members(state).len() == count)
        };
        eventually(&format!("{count} jobs in {state}"), TIMEOUT, all_there).await
    }

    /// Waits until `count` further checks for stalled jobs have been made.
    pub(crate) async fn stalled_checks(&self, count: usize) {
        let latest = || async { self.redis.cmd::<Option<String>>(&format!("GET {PREFIX}stalled-check")).await };
        for _ in 0..count {
            let before = latest().await;
            let another = || async { latest().await.filter(|check| before.as_ref() != Some(check)) };
            eventually("another check for stalled jobs", TIMEOUT, another).await;
        }
    }

    /// Ends a scenario: checks the layout, lists all jobs with BullMQ, and ends Node.
    pub(crate) async fn check(&self) {
        layout::check(&self.snapshot().await);
        self.node.queue("getJobs", json!([])).await;
        for event in ["unhandled", "events-error"] {
            assert_eq!(self.node.messages(event), Vec::<Value>::new());
        }
        self.node.kill().await;
    }
}

pub(crate) async fn connect(url: &str) -> Connection {
    let connection = Connection::open(url).expect("a good URL");
    connection.ready().await.expect("connected");
    connection
}

/// Returns the time in ms since 1970; Node has the same clock.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}
