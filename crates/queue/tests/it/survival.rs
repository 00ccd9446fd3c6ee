//! Faults: killed and frozen workers, cut connections, restarts of Redis.
#![expect(clippy::print_stdout, reason = "durations for those who run the tests")]

use std::{
    collections::HashMap,
    time::{Duration, Instant, SystemTime},
};

use examhall_queue::{Job, JobOptions, NewJob, Outcome};
use examhall_testkit::{Process, Proxy, Redis, RedisOptions, eventually, example};
use serde_json::{Value, json};
use tokio::process::Command;
use tokio_util::sync::CancellationToken;

use crate::{Bench, connect, job, named, watchful};

const TIMEOUT: Duration = Duration::from_mins(2);

fn is_long() -> bool {
    std::env::var_os("EXAMHALL_LONG").is_some()
}

/// Starts the example worker in a process of its own, with the default lock of 30 s.
pub(crate) async fn worker(redis: &Redis, jobs_at_once: u32, millis_per_job: u32) -> Process {
    worker_at(redis.url(), jobs_at_once, millis_per_job).await
}

pub(crate) async fn worker_at(url: String, jobs_at_once: u32, millis_per_job: u32) -> Process {
    let args = [url, "email".into(), jobs_at_once.to_string(), millis_per_job.to_string()];
    let process = Process::spawn("worker", Command::new(example("worker")).args(args));
    process.line("ready").await;
    process
}

/// Reads the runs that a worker process has written: job ids, with times in ms since 1970.
pub(crate) fn runs(worker: &Process) -> Vec<(String, i64)> {
    let output = worker.output();
    let run = |line: &str| {
        let (id, at) = line.strip_prefix("run ")?.split_once(' ')?;
        Some((id.to_owned(), at.parse().ok()?))
    };
    output.lines().filter_map(run).collect()
}

fn now() -> i64 {
    i64::try_from(SystemTime::UNIX_EPOCH.elapsed().expect("after 1970").as_millis()).expect("fits")
}

pub(crate) async fn add_many(bench: &Bench, count: u32) {
    let jobs: Vec<_> = (0..count).map(|n| NewJob::new("greet", json!({"n": n}))).collect();
    bench.queue.add_all(&jobs).await.expect("added");
}

async fn all_completed(bench: &Bench, count: i64) {
    eventually("every job has ended", TIMEOUT, || async {
        let counts = bench.queue.counts().await.ok()?;
        (counts.completed == count && counts.active == 0).then_some(())
    })
    .await;
}

/// A worker process with a link of its own.
struct Linked {
    process: Process,
    link: Proxy,
}

impl Linked {
    async fn start(redis: &Redis, jobs_at_once: u32, millis_per_job: u32) -> Self {
        let link = Proxy::start(redis.port()).await;
        let url = format!("redis://127.0.0.1:{}", link.port());
        Self { process: worker_at(url, jobs_at_once, millis_per_job).await, link }
    }

    /// Cuts its link, or freezes it for some time.
    async fn disturb(&self, longest_freeze: u64, figures: &mut Figures) {
        if fastrand::bool() {
            figures.cuts += 1;
            self.link.cut();
        } else {
            figures.freezes += 1;
            self.process.freeze();
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..longest_freeze))).await;
            self.process.thaw();
        }
    }
}

/// What a test of faults did, and what came of it. A lost job fails the test.
#[derive(Debug, Default)]
struct Figures {
    jobs: u32,
    kills: u32,
    cuts: u32,
    freezes: u32,
    /// Jobs that ran more than once, each after a stall.
    run_twice: usize,
}

/// Kills workers at random times while they run 2,000 jobs, and cuts and freezes others. Returns for each job that a kill
/// interrupted the time from the kill to its next run, in ms.
async fn kill_workers(kills: u32, figures: &mut Figures) -> Vec<i64> {
    const JOBS: u32 = 2000;
    figures.jobs += JOBS;
    figures.kills += kills;
    let bench = Bench::start().await;
    add_many(&bench, JOBS).await;
    let mut workers = vec![];
    for _ in 0..3 {
        workers.push(Linked::start(&bench.redis, 10, 100).await);
    }
    let mut killed = Vec::new();
    for _ in 0..kills {
        tokio::time::sleep(Duration::from_millis(fastrand::u64(100..600))).await; // a random time
        fastrand::choice(&workers).expect("some").disturb(500, figures).await;
        let mut victim = workers.remove(0);
        victim.process.kill().await;
        killed.push((now(), victim.process));
        workers.push(Linked::start(&bench.redis, 10, 100).await);
    }
    all_completed(&bench, i64::from(JOBS)).await;
    let mut started: HashMap<String, Vec<i64>> = HashMap::new();
    for (id, at) in
        killed.iter().map(|(_, victim)| victim).chain(workers.iter().map(|worker| &worker.process)).flat_map(runs)
    {
        started.entry(id).or_default().push(at);
    }
    for (id, times) in &started {
        let stalls = bench.queue.get(id).await.expect("read").expect("kept").stalls;
        assert!(times.len() <= 1 + stalls as usize, "job {id} ran {} times with {stalls} stalls", times.len());
    }
    assert_eq!(started.len(), JOBS as usize);
    figures.run_twice += started.values().filter(|times| times.len() > 1).count();
    let next_run = |killed_at: i64, id: &str| started[id].iter().copied().filter(|at| *at > killed_at).min();
    killed
        .iter()
        .flat_map(|(killed_at, victim)| {
            runs(victim).into_iter().filter_map(move |(id, _)| next_run(*killed_at, &id).map(|at| at - killed_at))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_of_killed_workers_run_again_within_seconds() {
    let (mut waits, mut figures) = (Vec::new(), Figures::default());
    for _ in 0..if is_long() { 10 } else { 1 } {
        waits.extend(kill_workers(10, &mut figures).await);
    }
    waits.sort_unstable();
    let median = waits[waits.len() / 2];
    println!("{figures:?}: {} jobs were interrupted; they ran again after {median} ms (median)", waits.len());
    assert!(median < 30_000, "sooner than their locks of 30 s expire: {median} ms");
}

/// Only a worker that vanishes loses its jobs: not one that is frozen for less than its lock of 30 s, or whose link is cut.
/// One that is frozen before it has connected again looks dead, after 5 s.
#[tokio::test(flavor = "multi_thread")]
async fn cut_and_frozen_workers_lose_no_job() {
    let rounds = if is_long() { 100 } else { 5 };
    let bench = Bench::start().await;
    let jobs = 60 * rounds;
    add_many(&bench, jobs).await;
    let workers = [
        Linked::start(&bench.redis, 10, 1000).await,
        Linked::start(&bench.redis, 10, 1000).await,
        Linked::start(&bench.redis, 10, 1000).await,
    ];
    let mut figures = Figures { jobs, ..Figures::default() };
    for _ in 0..rounds {
        fastrand::choice(&workers).expect("some").disturb(9000, &mut figures).await;
        // One whose link was cut has connected again and sent a heartbeat: frozen before that, it would look dead.
        tokio::time::sleep(Duration::from_secs(3)).await;
    }
    all_completed(&bench, i64::from(jobs)).await;
    let started: Vec<_> = workers.iter().flat_map(|worker| runs(&worker.process)).collect();
    let mut again = 0;
    for n in 1..=jobs {
        let job = bench.queue.get(&n.to_string()).await.expect("read").expect("kept");
        assert_eq!(job.stalls, 0, "job {n} was taken from a live worker");
        again += job.attempts_started.saturating_sub(1);
    }
    println!(
        "{figures:?}: {} runs of {jobs} jobs; {again} were released by a worker that could not know that it kept them",
        started.len()
    );
}

#[tokio::test]
async fn examples_work_together() {
    let bench = Bench::start().await;
    let run = async |name: &str, more: &[&str]| {
        let url = bench.redis.url();
        let mut process = Process::spawn(name, Command::new(example(name)).args([url.as_str(), "email"]).args(more));
        assert!(process.exit(TIMEOUT).await.success(), "{}", process.output());
        process.output()
    };
    assert!(run("producer", &["3"]).await.contains("added 2 more"));
    let worker = worker(&bench.redis, 5, 1).await;
    all_completed(&bench, 3).await;
    eventually("the worker is listed", TIMEOUT, || async {
        bench.queue.workers().await.ok().filter(|workers| !workers.is_empty())
    })
    .await;
    let report = run("admin", &[]).await;
    assert!(report.contains("completed: 3") && report.contains(r#"worker "example""#), "{report}");
    drop(worker);
}

#[tokio::test]
async fn no_job_is_lost_if_connections_are_cut_every_second() {
    let bench = Bench::start().await;
    let load = Load::start(&bench);
    let mut every_second = tokio::time::interval(Duration::from_secs(1));
    let (started, mut longest) = (Instant::now(), Duration::ZERO);
    while started.elapsed() < Duration::from_secs(30) {
        every_second.tick().await;
        bench.redis.cmd::<i64>("CLIENT KILL TYPE normal SKIPME yes").await;
        longest = longest.max(load.continues(&bench, TIMEOUT).await);
    }
    println!("after a cut jobs run again within {longest:?}");
    assert!(longest <= AGAIN_WITHIN, "{longest:?}");
    load.ends(&bench).await;
}

#[tokio::test]
async fn no_job_is_lost_if_redis_restarts() {
    let options = RedisOptions { append_only: true, ..RedisOptions::default() };
    let mut bench = Bench::over(Redis::start_with(options).await).await;
    let load = Load::start(&bench);
    for _ in 0..if is_long() { 5 } else { 2 } {
        load.continues(&bench, TIMEOUT).await;
        bench.redis.restart().await;
        let resumed = load.continues(&bench, TIMEOUT).await;
        println!("after a restart jobs run again within {resumed:?}");
        assert!(resumed <= AGAIN_WITHIN, "{resumed:?}");
    }
    load.ends(&bench).await;
}

/// How soon workers continue after an outage of Redis: within 5 s, on a machine with enough CPU time.
const AGAIN_WITHIN: Duration = Duration::from_secs(20);

/// A producer that names its jobs, and a worker, in this process.
struct Load {
    stop: CancellationToken,
    producer: tokio::task::JoinHandle<i64>,
    worker: tokio::task::JoinHandle<()>,
}

impl Load {
    fn start(bench: &Bench) -> Self {
        let (stop, queue) = (CancellationToken::new(), bench.queue.clone());
        let stopped = stop.clone();
        let producer = tokio::spawn(async move {
            let mut added = 0;
            while !stopped.is_cancelled() {
                // With an id, an add whose answer was lost can be repeated.
                while queue.add(job(named(&format!("m-{added}")))).await.is_err() {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                added += 1;
                tokio::time::sleep(Duration::from_millis(2)).await; // slower than the worker, so that the queue empties
            }
            added
        });
        let handler = |_: Job<Value>| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Outcome::Completed(Value::Null)
        };
        let options = watchful().lock(Duration::from_secs(5));
        let worker = tokio::spawn(bench.worker(options, handler).run(CancellationToken::new()));
        Self { stop, producer, worker }
    }

    /// Waits until more jobs are completed, and returns how long that took.
    async fn continues(&self, bench: &Bench, timeout: Duration) -> Duration {
        let queue = bench.queue.clone();
        let completed = || async { queue.counts().await.ok().map(|counts| counts.completed) };
        let started = Instant::now();
        let before = eventually("Redis answers", timeout, completed).await;
        eventually("more jobs are completed", timeout, || async { completed().await.filter(|now| *now > before) })
            .await;
        started.elapsed()
    }

    async fn ends(self, bench: &Bench) {
        self.stop.cancel();
        let added = self.producer.await.expect("no panic");
        assert!(added > 0);
        all_completed(bench, added).await;
        self.worker.abort();
    }
}

#[tokio::test]
async fn handler_is_notified_of_a_lost_lease() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    let (seen, mut states) = tokio::sync::mpsc::unbounded_channel();
    let handler = move |job: Job<Value>| {
        let seen = seen.clone();
        async move {
            seen.send(job.claim.is_lost()).expect("the test listens");
            job.claim.lost().await;
            seen.send(job.claim.is_lost()).expect("the test listens");
            Outcome::Released
        }
    };
    let (_stop, _running) = bench.run(handler);
    assert_eq!(states.recv().await, Some(false));
    bench.redis.cmd::<String>("SET bull:email:1:lock another").await;
    assert_eq!(states.recv().await, Some(true));
    assert_eq!(bench.redis.cmd::<String>("GET bull:email:1:lock").await, "another");
}

#[tokio::test]
async fn jobs_of_lost_answers_are_reclaimed_after_a_freeze() {
    let bench = Bench::start().await;
    let load = Load::start(&bench);
    load.continues(&bench, TIMEOUT).await;
    bench.redis.process().freeze();
    tokio::time::sleep(Duration::from_secs(3)).await; // longer than a command's time limit
    bench.redis.process().thaw();
    load.continues(&bench, TIMEOUT).await;
    load.ends(&bench).await;
    drop(connect(&bench.redis).await);
}
