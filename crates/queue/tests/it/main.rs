//! Tests of the crate's public face, each on a redis-server of its own.

mod add;
mod admin;
mod connections;
mod control;
mod ended_data;
mod events;
mod gone;
mod locks;
mod survival;
mod wake;
mod work;

use std::{collections::HashMap, time::Duration};

use examhall_queue::{Connection, Handler, JobOptions, NewJob, Queue, Worker, WorkerOptions};
use examhall_testkit::{Redis, eventually};
use serde_json::Value;
use tokio::task::JoinHandle;
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

    async fn field(&self, id: &str, field: &str) -> Option<String> {
        self.queue.raw(id).await.expect("read").remove(field)
    }

    async fn worker<H: Handler<Value>>(&self, options: WorkerOptions, handler: H) -> Worker<Value, H> {
        Worker::new(self.queue.clone(), connect(&self.redis).await, options, handler)
    }

    /// Starts a worker; it stops when the token is cancelled.
    async fn run<H: Handler<Value>>(&self, handler: H) -> (CancellationToken, JoinHandle<()>) {
        self.run_with(quick(), handler).await
    }

    async fn run_with<H: Handler<Value>>(
        &self,
        options: WorkerOptions,
        handler: H,
    ) -> (CancellationToken, JoinHandle<()>) {
        let stop = CancellationToken::new();
        let worker = self.worker(options, handler).await;
        let running = tokio::spawn(worker.run(stop.clone()));
        (stop, running)
    }

    /// Waits until so many jobs are in a sorted set.
    async fn in_state(&self, set: &str, jobs: i64) {
        let command = format!("ZCARD bull:email:{set}");
        let there = async || (self.redis.cmd::<i64>(&command).await == jobs).then_some(());
        eventually(&format!("{jobs} jobs in {set}"), TIMEOUT, there).await;
    }

    /// Waits until workers have so many jobs in hand.
    async fn active(&self, jobs: i64) {
        let taken = async || (self.redis.cmd::<i64>("LLEN bull:email:active").await == jobs).then_some(());
        eventually(&format!("{jobs} jobs in hand"), TIMEOUT, taken).await;
    }

    /// Waits until so many workers sleep: on BullMQ's marker.
    async fn asleep(&self, workers: usize) {
        let blocked = format!("blocked_clients:{workers}\r");
        let asleep = async || self.redis.cmd::<String>("INFO clients").await.contains(&blocked).then_some(());
        eventually(&format!("{workers} workers asleep"), TIMEOUT, asleep).await;
    }
}

async fn connect(redis: &Redis) -> Connection {
    let connection = Connection::open(&redis.url()).expect("a good URL");
    connection.ready().await.expect("connected");
    connection
}

fn job(options: JobOptions) -> NewJob<Value> {
    NewJob { name: "send-email".into(), data: serde_json::json!({"to": "ü@x.example"}), options }
}

/// Options for most tests: a worker that is without time for some seconds keeps its jobs.
fn quick() -> WorkerOptions {
    WorkerOptions {
        lock: Duration::from_secs(4),
        stalled_interval: Duration::from_secs(4),
        name: "rust-1".into(),
        ..WorkerOptions::default()
    }
}

/// As [`quick`], for a test that sees a job lose its worker.
fn watchful() -> WorkerOptions {
    WorkerOptions { stalled_interval: Duration::from_millis(500), ..quick() }
}
