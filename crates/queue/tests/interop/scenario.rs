//! A scenario's surroundings.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use examhall_queue::{Connection, JobOptions, NewJob, Queue, WorkerOptions};
use examhall_testkit::{Redis, eventually};
use serde_json::{Value, json};

use crate::{node::Node, ours::Ours, snapshot::Snapshot, sweep};

pub(crate) const PREFIX: &str = "bull:email:";

/// Far longer than anything takes, so that a busy machine fails no test.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(40);

/// The most, in ms, that something may come late which a signal starts: a very busy machine's 150 ms, and far less than
/// it would take without the signal.
pub(crate) const PROMPT: i64 = 4_000;

/// How long the workers of such a scenario sleep without one, in s.
pub(crate) const DRAIN_DELAY: u64 = 9;

/// A queue `bull:email` on a Redis of its own, with Node.js at hand.
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
        self.queue.add(NewJob { name: "mail".to_owned(), data, options }).await.expect("added")
    }

    /// Writes a job as a stranger might, who knows the layout and gives no signal.
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

    /// Waits until what `ready` looks for is there, and gives the moment's snapshot.
    pub(crate) async fn once(&self, what: &str, ready: impl Fn(&Snapshot) -> bool) -> Snapshot {
        eventually(what, TIMEOUT, || async { Some(self.snapshot().await).filter(&ready) }).await
    }

    /// Waits until so many jobs are in this state, and gives the moment's snapshot.
    pub(crate) async fn once_in(&self, state: &str, count: usize) -> Snapshot {
        let size = format!("{} {PREFIX}{state}", if state == "active" { "LLEN" } else { "ZCARD" });
        let all_there = || async {
            // A snapshot costs too much to take one after the other while a fleet works.
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

    /// Every scenario's end: the layout's rules hold, and BullMQ can list every job. Node has gone then.
    pub(crate) async fn sweep(&self) {
        sweep::check(&self.snapshot().await);
        self.node.queue("getJobs", json!([])).await;
        for event in ["unhandled", "events-error"] {
            assert_eq!(self.node.told(event), Vec::<Value>::new());
        }
        self.node.kill().await;
    }
}

pub(crate) async fn connect(url: &str) -> Connection {
    let connection = Connection::open(url).expect("a good URL");
    connection.ready().await.expect("connected");
    connection
}

/// Milliseconds since 1970; Node's clock is the same.
pub(crate) fn now_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("before the year 292 million")
}
