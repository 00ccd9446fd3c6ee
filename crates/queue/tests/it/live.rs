//! A live worker keeps its jobs: frozen, cut off, out of memory, through restarts and fail-overs; a dead one does not.

use std::{
    sync::{Arc, Mutex},
    time::Duration,
};

use examhall_queue::{Claim, Connection, Job, Outcome, Queue, State, Worker, WorkerOptions};
use examhall_testkit::{Proxy, Redis, RedisOptions, Sentinel, eventually};
use serde_json::Value;
use tokio::sync::{Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use crate::{
    Bench, TIMEOUT, done, gated, named,
    survival::{add_many, runs, worker, worker_at},
};

const LOCK: Duration = Duration::from_mins(10);

async fn queue_at(url: &str) -> Queue<Value> {
    let connection = Connection::open(url).expect("a good URL");
    connection.ready().await.expect("connected");
    Queue::new(connection, "bull", "email").expect("good names")
}

fn long() -> WorkerOptions {
    WorkerOptions::default().lock(LOCK).drain_delay(Duration::from_secs(1))
}

impl Bench {
    /// Waits until the only worker with a heartbeat has been silent for so long, by the server's clock.
    async fn silent_for(&self, span: Duration) {
        eventually("a silent worker", TIMEOUT, async || {
            let keys = self.redis.cmd::<Vec<String>>("KEYS alive:*").await;
            let value = self.redis.cmd::<Option<String>>(&format!("GET {}", keys.first()?)).await?;
            let life: i64 = value.split(' ').nth(1)?.parse().ok()?;
            let left = self.redis.cmd::<i64>(&format!("PTTL {}", keys[0])).await;
            (life - left >= i64::try_from(span.as_millis()).ok()?).then_some(())
        })
        .await;
    }

    /// An active job of a worker with this token and heartbeat.
    async fn active_job(&self, id: &str, token: &str, heartbeat: Option<&str>) {
        let hash = format!("bull:email:{id}");
        let fields = ["HSET", &hash, "name", "x", "data", "{}", "opts", "{}", "timestamp", "1"];
        self.redis.command::<i64>(&fields).await;
        self.redis.cmd::<String>(&format!("SET bull:email:{id}:lock {token} PX 500000")).await;
        if let (Some(heartbeat), Some(worker)) = (heartbeat, token.split(':').nth(2)) {
            let key = format!("alive:bull:email:{worker}");
            self.redis.command::<String>(&["SET", &key, heartbeat, "PX", "500000"]).await;
        }
        self.redis.cmd::<i64>(&format!("LPUSH bull:email:active {id}")).await;
    }

    /// Waits until another worker has looked for dead workers and has run the job of one.
    async fn judged(&self, dead: &str) {
        self.active_job(dead, &format!("eh:999999:{dead}:1"), Some("999999 600000 600000")).await;
        self.ends(dead).await;
    }

    async fn ends(&self, id: &str) {
        eventually(&format!("{id} is completed"), TIMEOUT, async || {
            let job = self.queue.get(id).await.ok()??;
            (job.state == State::Completed).then_some(())
        })
        .await;
    }

    /// Asserts that a job is still its first worker's.
    async fn is_untouched(&self, id: &str) {
        let job = self.queue.get(id).await.expect("read").expect("there");
        assert_eq!((job.state, job.stalls), (State::Active, 0), "{id}");
    }

    /// Asserts that a job has run once.
    async fn ended_once(&self, id: &str) {
        self.ends(id).await;
        let job = self.queue.get(id).await.expect("read").expect("there");
        assert_eq!((job.attempts_started, job.stalls), (1, 0), "{id}");
    }
}

#[tokio::test]
async fn frozen_worker_keeps_its_jobs_after_a_cut() {
    let bench = Bench::start().await;
    let proxy = Proxy::start(bench.redis.port()).await;
    add_many(&bench, 2).await;
    let frozen = worker_at(format!("redis://127.0.0.1:{}", proxy.port()), 2, 15_000).await;
    eventually("both jobs are run", TIMEOUT, || async { (runs(&frozen).len() == 2).then_some(()) }).await;
    let heartbeat = async || {
        let keys = bench.redis.cmd::<Vec<String>>("KEYS alive:*").await;
        bench.redis.cmd::<Option<String>>(&format!("GET {}", keys.first()?)).await
    };
    let first = eventually("a heartbeat", TIMEOUT, heartbeat).await;
    proxy.cut();
    let changed = async || heartbeat().await.filter(|value| *value != first);
    eventually("a heartbeat over another connection", TIMEOUT, changed).await;
    frozen.freeze();
    bench.silent_for(Duration::from_secs(9)).await;
    // Jobs of workers of older versions, with and without a heartbeat, and of another client.
    bench.active_job("old", "eh:999998:old:1", Some("1")).await;
    bench.active_job("older", "eh:999997:older:1", None).await;
    bench.active_job("foreign", "6f9c7c1e:1", None).await;
    let other = worker(&bench.redis, 5, 1).await;
    bench.judged("dead").await;
    for id in ["1", "2", "old", "older", "foreign"] {
        bench.is_untouched(id).await;
    }
    frozen.thaw();
    bench.ended_once("1").await;
    bench.ended_once("2").await;
    assert_eq!((runs(&frozen).len(), runs(&other).len()), (2, 1));
}

#[tokio::test]
async fn claim_is_lost_before_another_worker_runs_the_job() {
    let bench = Bench::start().await;
    let proxy = Proxy::start(bench.redis.port()).await;
    let claimed: Arc<Mutex<Option<Claim>>> = Arc::default();
    let held = Arc::clone(&claimed);
    let holding = move |job: Job<Value>| {
        *held.lock().expect("no panic") = Some(job.claim);
        std::future::pending::<Outcome>()
    };
    let queue = queue_at(&format!("redis://127.0.0.1:{}", proxy.port())).await;
    tokio::spawn(Worker::new(queue, long(), holding).expect("good options").run(CancellationToken::new()));
    bench.add(named("a")).await;
    bench.silent_for(Duration::ZERO).await;
    let (seen, mut states) = mpsc::unbounded_channel();
    let claim = claimed.lock().expect("no panic").clone().expect("the job runs");
    let noting = claim.clone();
    let other = move |_| {
        seen.send(noting.is_lost()).expect("the test listens");
        async { Outcome::Completed(Value::Null) }
    };
    let (_stop, _running) = bench.run_with(long(), other);
    assert!(!claim.is_lost());
    proxy.sever();
    assert_eq!(states.recv().await, Some(true));
    claim.lost().await;
    // Its link is back: it learns that the job is no longer its own.
    bench.ends("a").await;
    proxy.accept();
    bench.judged("b").await;
    assert!(claim.is_lost());
}

/// Starts a worker that holds job `a` over its own link, and another one without jobs; `disturb` does something to Redis.
/// Then ends the job, which must be still the first worker's.
async fn keeps_its_job(bench: &mut Bench, worker_url: &str, disturb: impl AsyncFnOnce(&mut Bench)) {
    let (gate, handler): (Arc<Semaphore>, _) = gated();
    let holding = Worker::new(queue_at(worker_url).await, long().concurrency(1), handler).expect("good options");
    tokio::spawn(holding.run(CancellationToken::new()));
    bench.add(named("a")).await;
    bench.silent_for(Duration::ZERO).await;
    let (_stop, _running) = bench.run_with(long(), done);
    disturb(bench).await;
    bench.judged("dead").await;
    bench.is_untouched("a").await;
    gate.add_permits(1);
    bench.ended_once("a").await;
}

#[tokio::test]
async fn worker_that_reconnects_late_after_a_restart_keeps_its_job() {
    let options = RedisOptions { append_only: true, ..RedisOptions::default() };
    let mut bench = Bench::over(Redis::start_with(options).await).await;
    let proxy = Proxy::start(bench.redis.port()).await;
    keeps_its_job(&mut bench, &format!("redis://127.0.0.1:{}", proxy.port()), async |bench: &mut Bench| {
        proxy.sever();
        bench.redis.restart().await;
        bench.silent_for(Duration::from_secs(7)).await;
        proxy.accept();
    })
    .await;
}

#[tokio::test]
async fn worker_keeps_its_job_while_redis_is_out_of_memory() {
    let mut bench = Bench::start().await;
    let url = bench.redis.url();
    keeps_its_job(&mut bench, &url, async |bench: &mut Bench| {
        bench.redis.cmd::<String>("CONFIG SET maxmemory 1").await;
        bench.redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        // Longer than it takes to judge a worker after a reconnect.
        tokio::time::sleep(Duration::from_secs(13)).await;
        bench.is_untouched("a").await;
        bench.redis.cmd::<String>("CONFIG SET maxmemory 0").await;
    })
    .await;
}

#[tokio::test]
async fn worker_keeps_its_job_if_its_link_is_killed_often() {
    let mut bench = Bench::start().await;
    let url = bench.redis.url();
    keeps_its_job(&mut bench, &url, async |bench: &mut Bench| {
        for _ in 0..10 {
            bench.redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..1000))).await;
        }
    })
    .await;
}

#[tokio::test]
async fn worker_keeps_its_job_through_a_fail_over() {
    let mut master = Redis::start().await;
    let sentinel = Sentinel::watch(&master).await;
    let queue = queue_at(&sentinel.url()).await;
    let (gate, handler) = gated();
    let holding = Worker::new(queue.clone(), long().concurrency(1), handler).expect("good options");
    tokio::spawn(holding.run(CancellationToken::new()));
    queue.add(crate::job(named("a"))).await.expect("added");
    let is_replicated = async || {
        let keys = sentinel.replica.cmd::<Vec<String>>("KEYS alive:*").await;
        let lock = sentinel.replica.cmd::<i64>("EXISTS bull:email:a:lock").await;
        (keys.len() == 1 && lock == 1).then_some(())
    };
    eventually("the heartbeat is replicated", TIMEOUT, is_replicated).await;
    let other = Worker::new(queue_at(&sentinel.url()).await, long(), done).expect("good options");
    tokio::spawn(other.run(CancellationToken::new()));
    master.kill().await;
    eventually("jobs are added at the new master", TIMEOUT, async || queue.add(crate::job(named("after"))).await.ok())
        .await;
    let state = async |id: &str| queue.get(id).await.ok().flatten().map(|job| (job.state, job.attempts_started));
    let ended = async || state("after").await.filter(|(state, _)| *state == State::Completed);
    eventually("the other worker runs jobs", TIMEOUT, ended).await;
    gate.add_permits(1);
    let ended = async || state("a").await.filter(|(state, _)| *state == State::Completed);
    assert_eq!(eventually("the job ends", TIMEOUT, ended).await, (State::Completed, 1));
}

#[tokio::test]
async fn jobs_of_two_queues_of_a_dead_process_are_reaped() {
    let bench = Bench::start().await;
    let shared = crate::connect(&bench.redis).await;
    for name in ["email", "sms"] {
        let queue: Queue<Value> = Queue::new(shared.clone(), "bull", name).expect("good names");
        queue.add(crate::job(named("a"))).await.expect("added");
        let holding = Worker::new(queue, long(), |_| std::future::pending::<Outcome>()).expect("good options");
        tokio::spawn(holding.run(CancellationToken::new()));
    }
    let both = async || (bench.redis.cmd::<Vec<String>>("KEYS alive:*").await.len() == 2).then_some(());
    eventually("two heartbeats", TIMEOUT, both).await;
    shared.close().await;
    for name in ["email", "sms"] {
        let queue: Queue<Value> = Queue::new(bench.queue.connection().clone(), "bull", name).expect("good names");
        tokio::spawn(Worker::new(queue.clone(), long(), done).expect("good options").run(CancellationToken::new()));
        let ended = async || queue.get("a").await.ok()?.filter(|job| job.state == State::Completed);
        let job = eventually("the job runs again, long before its lock ends", TIMEOUT, ended).await;
        assert_eq!((job.attempts_started, job.stalls), (2, 1));
    }
}
