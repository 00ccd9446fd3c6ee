//! Tests of the public API, each on a redis-server of its own.
#![expect(clippy::incompatible_msrv, reason = "tests are built with the Rust of the workspace, not with the oldest")]

mod add;
mod admin;
mod connections;
mod control;
mod ended_data;
mod events;
mod gone;
mod ids;
mod isolation;
mod library;
mod live;
mod locks;
mod log;
mod poison;
mod runs;
mod search;
mod steady;
mod strange;
mod survival;
mod wake;
mod whole;
mod work;

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use examhall_queue::{Connection, Drained, Handler, Job, JobOptions, NewJob, Outcome, Queue, Worker, WorkerOptions};
use examhall_testkit::{Redis, eventually};
use serde_json::Value;
use tokio::{sync::Semaphore, task::JoinHandle};
use tokio_util::sync::CancellationToken;

const TIMEOUT: Duration = Duration::from_mins(1);

/// A queue `bull:email` on a Redis of its own.
struct Bench {
    redis: Redis,
    queue: Queue<Value>,
}

impl Bench {
    async fn start() -> Self {
        Self::over(Redis::start().await).await
    }

    async fn over(redis: Redis) -> Self {
        let queue = Queue::new(connect(&redis).await, "bull", "email").expect("good names");
        Self { redis, queue }
    }

    async fn add(&self, options: JobOptions) -> String {
        self.queue.add(job(options)).await.expect("added")
    }

    async fn hash(&self, id: &str) -> HashMap<String, String> {
        self.queue.raw(id).await.expect("read")
    }

    /// Reads all keys with their values, hashed as Redis serializes them.
    async fn dump(&self) -> BTreeMap<String, String> {
        const ALL: &str = "local all = {}
            for _, key in ipairs(redis.call('KEYS', '*')) do
              all[#all + 1] = key
              all[#all + 1] = redis.sha1hex(redis.call('DUMP', key))
            end
            return all";
        let all: Vec<String> = self.redis.command(&["EVAL", ALL, "0"]).await;
        all.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect()
    }

    async fn field(&self, id: &str, field: &str) -> Option<String> {
        self.queue.raw(id).await.expect("read").remove(field)
    }

    fn worker<H: Handler<Value>>(&self, options: WorkerOptions, handler: H) -> Worker<Value, H> {
        Worker::new(self.queue.clone(), options, handler).expect("good options")
    }

    /// Runs jobs until nothing is left to do at once.
    async fn drain<H: Handler<Value>>(&self, handler: H) -> Drained {
        self.worker(quick(), handler).drain(Duration::ZERO, CancellationToken::new()).await
    }

    /// Starts a worker that stops when the token is cancelled.
    fn run<H: Handler<Value>>(&self, handler: H) -> (CancellationToken, JoinHandle<()>) {
        self.run_with(quick(), handler)
    }

    fn run_with<H: Handler<Value>>(&self, options: WorkerOptions, handler: H) -> (CancellationToken, JoinHandle<()>) {
        let stop = CancellationToken::new();
        let worker = self.worker(options, handler);
        let running = tokio::spawn(worker.run(stop.clone()));
        (stop, running)
    }

    /// Waits until a sorted set has N jobs.
    async fn in_state(&self, set: &str, jobs: i64) {
        let command = format!("ZCARD bull:email:{set}");
        let there = async || (self.redis.cmd::<i64>(&command).await == jobs).then_some(());
        eventually(&format!("{jobs} jobs in {set}"), TIMEOUT, there).await;
    }

    /// Waits until N jobs are active.
    async fn active(&self, jobs: i64) {
        let taken = async || (self.redis.cmd::<i64>("LLEN bull:email:active").await == jobs).then_some(());
        eventually(&format!("{jobs} active jobs"), TIMEOUT, taken).await;
    }

    /// Returns how many connections the server has, the one that asks included.
    async fn connections(&self) -> usize {
        self.redis.cmd::<String>("CLIENT LIST").await.lines().count()
    }

    /// Waits until N workers block on BullMQ's marker.
    async fn blocked(&self, workers: usize) {
        let blocked = format!("blocked_clients:{workers}\r");
        let all = async || self.redis.cmd::<String>("INFO clients").await.contains(&blocked).then_some(());
        eventually(&format!("{workers} blocked workers"), TIMEOUT, all).await;
    }
}

async fn connect(redis: &Redis) -> Connection {
    let connection = Connection::open(&redis.url()).expect("a good URL");
    connection.ready().await.expect("connected");
    connection
}

fn job(options: JobOptions) -> NewJob<Value> {
    NewJob::new("send-email", serde_json::json!({"to": "ü@x.example"})).options(options)
}

/// A handler that completes every job.
async fn done(_: Job<Value>) -> Outcome {
    Outcome::Completed(Value::Null)
}

/// A gate, and a handler that completes a job for each of its permits.
fn gated() -> (Arc<Semaphore>, impl Handler<Value>) {
    let gate = Arc::new(Semaphore::new(0));
    let inside = Arc::clone(&gate);
    let handler = move |job| {
        let gate = Arc::clone(&inside);
        async move {
            gate.acquire().await.expect("open").forget();
            done(job).await
        }
    };
    (gate, handler)
}

fn named(id: &str) -> JobOptions {
    JobOptions::default().job_id(id)
}

/// Options for most tests: a worker that gets no CPU time for some seconds keeps its jobs.
fn quick() -> WorkerOptions {
    WorkerOptions::default().lock(Duration::from_secs(4)).stalled_interval(Duration::from_secs(4)).name("rust-1")
}

/// As [`quick`], for tests in which a job loses its worker.
fn watchful() -> WorkerOptions {
    quick().stalled_interval(Duration::from_millis(500))
}
