//! A yardstick: what BullMQ's layout costs at the least. Two scripts that write ids, fields, lists, events, marker and
//! locks as a BullMQ queue has them, and a bare client that calls them. It knows no priorities, delays, failures,
//! pauses or limits, and nobody should use it.

use std::{
    iter::once,
    sync::Arc,
    time::{Instant, SystemTime},
};

use anyhow::{Context, ensure};
use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{Builder, ClusterHash, CustomCommand, Value, config::Config},
};
use serde_json::json;

use super::{ours::QUEUE, work::Work};

const ADD: &str = include_str!("lua/minimal_add.lua");
const TURN: &str = include_str!("lua/minimal_turn.lua");

/// A connection, and one of the two scripts.
struct Minimal {
    client: Client,
    sha: String,
    meta: String,
}

/// Does one work; returns the seconds it took.
pub(super) async fn measure(url: &str, work: Work, count: u32) -> anyhow::Result<f64> {
    match work {
        Work::Add(in_flight) => add(Minimal::open(url, ADD).await?, count, in_flight, 1).await,
        Work::Bulk(a_call) => add(Minimal::open(url, ADD).await?, count, 1, a_call).await,
        Work::Run(slots) => run(&Minimal::open(url, TURN).await?, count, slots).await,
    }
}

/// Adds with a number of callers, a number of jobs per call.
async fn add(minimal: Minimal, count: u32, callers: u32, a_call: u32) -> anyhow::Result<f64> {
    let minimal = Arc::new(minimal);
    let started = Instant::now();
    let callers: Vec<_> = (0..callers)
        .map(|_| {
            let minimal = Arc::clone(&minimal);
            tokio::spawn(async move {
                for _ in 0..count / callers / a_call {
                    let data = (0..a_call).map(|_| json!({"pad": "x".repeat(1000)}).to_string().into());
                    minimal.call(once(r#"{"attempts":0}"#.into()).chain(data).collect()).await?;
                }
                Ok::<_, anyhow::Error>(())
            })
        })
        .collect();
    for caller in callers {
        caller.await??;
    }
    Ok(started.elapsed().as_secs_f64())
}

/// Completes all that it has and takes as many again, in one script.
async fn run(minimal: &Minimal, count: u32, slots: u32) -> anyhow::Result<f64> {
    let started = Instant::now();
    let (mut ended, mut completed) = (Vec::new(), 0);
    loop {
        completed += u32::try_from(ended.len())?;
        let args = [30_000.into(), "minimal:1".into(), slots.into()].into_iter().chain(ended).collect();
        let Value::Array(taken) = minimal.call(args).await? else { anyhow::bail!("no list of jobs") };
        ended = taken.into_iter().step_by(2).collect();
        if ended.is_empty() {
            ensure!(completed == count, "{completed} of {count} jobs were run");
            return Ok(started.elapsed().as_secs_f64());
        }
    }
}

impl Minimal {
    async fn open(url: &str, script: &str) -> anyhow::Result<Self> {
        let client = Builder::from_config(Config::from_url(url)?).build()?;
        client.init().await?;
        let load = CustomCommand::new_static("SCRIPT", ClusterHash::Random, false);
        let sha = client.custom(load, vec!["LOAD", script]).await?;
        Ok(Self { client, sha, meta: format!("bull:{QUEUE}:meta") })
    }

    /// Calls the script with the time and `args`.
    async fn call(&self, args: Vec<Value>) -> anyhow::Result<Value> {
        let now = SystemTime::UNIX_EPOCH.elapsed().context("before 1970")?.as_millis().to_string();
        let head = [self.sha.as_str().into(), 1.into(), self.meta.as_str().into(), now.into()];
        let call = CustomCommand::new_static("EVALSHA", ClusterHash::Random, false);
        Ok(self.client.custom(call, head.into_iter().chain(args).collect()).await?)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use examhall_queue::{Connection, Outcome, Queue, State, Worker, WorkerOptions};
    use examhall_testkit::Redis;
    use tokio_util::sync::CancellationToken;

    use super::*;

    #[tokio::test]
    async fn a_real_worker_runs_its_jobs_and_vice_versa() {
        let redis = Redis::start().await;
        let connect = || Connection::open(&redis.url()).expect("a good URL");
        let connection = connect();
        connection.ready().await.expect("connected");
        let queue: Queue<serde_json::Value> = Queue::new(connection, "bull", QUEUE).expect("good names");
        measure(&redis.url(), Work::Bulk(5), 10).await.expect("added");
        let handler = |_| async { Outcome::Completed(serde_json::Value::Null) };
        let worker = Worker::new(queue.clone(), WorkerOptions::default(), handler).expect("good options");
        assert_eq!(worker.drain(Duration::ZERO, CancellationToken::new()).await.completed, 10);

        super::super::ours::add_in_bulk(&queue, 10, 5).await.expect("added");
        measure(&redis.url(), Work::Run(3), 10).await.expect("run");
        let job = queue.get("20").await.expect("read").expect("kept");
        assert_eq!((job.state, job.attempts_made, job.attempts_started), (State::Completed, 1, 1));
        assert_eq!(queue.counts().await.expect("counted").completed, 20);
        assert_eq!(redis.cmd::<i64>("EXISTS bull:bench:active bull:bench:20:lock").await, 0);
    }
}
