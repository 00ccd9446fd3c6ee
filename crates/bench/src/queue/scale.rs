//! Our queue alone: how late jobs start, a million of them in wait, and several processes that share a queue.

use std::{
    io::Read,
    process::Stdio,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use anyhow::{Context, ensure};
use examhall_core::Timestamp;
use examhall_queue::{Job, JobOptions, NewJob, Outcome, Queue, Worker, WorkerOptions};
use examhall_testkit::Redis;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
    sync::mpsc,
};
use tokio_util::sync::CancellationToken;

use super::{
    ours::{self, QUEUE, add_in_bulk, connect, run_some},
    table::median,
};

/// Slots of a worker whose lateness is measured.
const SLOTS: usize = 5;
/// How long a job of the open loop takes.
const WORK: Duration = Duration::from_millis(5);
/// Jobs that show how many a second the slots can run.
const BACKLOG: u32 = 1_000;
/// How long jobs arrive in the open loop, and how long delayed jobs are spread over.
const SPAN: Duration = Duration::from_secs(5);
/// Jobs in wait, few and many.
const WAITING: [u32; 2] = [1_000, 1_000_000];
/// Processes that share a queue, and their slots.
const PROCESSES: [u32; 2] = [1, 10];
const SHARED_SLOTS: u32 = 50;

/// Measures all of it, and prints a line for each.
pub(super) async fn measure(redis: &Redis, count: u32, rounds: u32) -> anyhow::Result<()> {
    println!("\n{:<44} {:>10} {:>10}", "late by, ms", "p50", "p99");
    print_late("delayed jobs", delayed(redis).await?);
    let capacity = capacity(redis).await?;
    for load in [0.1, 0.8] {
        let late = pick_up(redis, capacity * load).await?;
        print_late(&format!("pick-up at {:.0} % of {capacity:.0} jobs/s, open loop", load * 100.0), late);
    }
    println!("\n{:<44} {:>10} {:>10} {:>10}", "jobs in wait", "added/s", "run/s", "bytes/job");
    for waiting in WAITING {
        let [added, run, bytes] = deep(redis, waiting, count, rounds).await?;
        println!("{waiting:<44} {added:>10.0} {run:>10.0} {bytes:>10.0}");
    }
    println!("\n{:<44} {:>10}", "processes that share a queue, 50 slots each", "run/s");
    for processes in PROCESSES {
        let mut rates = Vec::new();
        for _ in 0..rounds {
            rates.push(shared(redis, processes, count * 5).await?);
        }
        println!("{processes:<44} {:>10.0}", median(rates.into_iter()).context("no rounds")?);
    }
    Ok(())
}

fn print_late(what: &str, mut late: Vec<f64>) {
    late.sort_by(f64::total_cmp);
    let at = |part: usize| late.get(late.len() * part / 100).copied().unwrap_or(f64::NAN);
    println!("{what:<44} {:>10.1} {:>10.1}", at(50), at(99));
}

/// An empty queue of ours.
async fn queue(redis: &Redis) -> anyhow::Result<Queue<Value>> {
    // A million jobs are not freed within the time limit of a command.
    redis.cmd::<String>("FLUSHALL ASYNC").await;
    while redis.cmd::<String>("INFO memory").await.lines().all(|line| line != "lazyfree_pending_objects:0") {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Queue::new(connect(&redis.url()).await?, "bull", QUEUE)?)
}

fn now() -> i64 {
    Timestamp::from(SystemTime::now()).as_millis()
}

/// How late, in ms, jobs start whose data is when they should; each starts once.
async fn late(
    queue: &Queue<Value>,
    count: usize,
    work: Duration,
    adding: impl Future<Output = anyhow::Result<()>>,
) -> anyhow::Result<Vec<f64>> {
    let (started, mut starts) = mpsc::unbounded_channel();
    let handler = move |job: Job<Value>| {
        let started = started.clone();
        async move {
            // The receiver counts; one that is gone has counted enough.
            let _ = started.send((job.id, now() - job.data.as_i64().unwrap_or_default()));
            tokio::time::sleep(work).await;
            Outcome::Completed(Value::Null)
        }
    };
    let worker = Worker::new(queue.clone(), WorkerOptions::default().concurrency(SLOTS), handler)?;
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone()));
    adding.await?;
    let (mut late, mut ids) = (Vec::new(), std::collections::HashSet::new());
    while late.len() < count {
        let (id, ms) = tokio::time::timeout(4 * SPAN, starts.recv()).await?.context("the worker ended")?;
        ensure!(ids.insert(id.clone()), "job {id} was run twice");
        #[expect(clippy::cast_precision_loss, reason = "milliseconds of a few seconds")]
        late.push(ms as f64);
    }
    stop.cancel();
    running.await?;
    Ok(late)
}

async fn delayed(redis: &Redis) -> anyhow::Result<Vec<f64>> {
    let queue = queue(redis).await?;
    let count = 1_000;
    let adding = async {
        let from = now() + 500;
        let spread = i64::try_from(SPAN.as_millis())?;
        for n in 0..count {
            let due = from + spread * n / count;
            let delay = Duration::from_millis((due - now()).try_into().unwrap_or(0));
            queue.add(NewJob::new("late", json!(due)).options(JobOptions::default().delay(delay))).await?;
        }
        Ok(())
    };
    late(&queue, count.try_into()?, Duration::ZERO, adding).await
}

/// Jobs a second that the slots run of a backlog: timers are late, too, so it is less than they could.
async fn capacity(redis: &Redis) -> anyhow::Result<f64> {
    let queue = queue(redis).await?;
    let jobs: Vec<_> = (0..BACKLOG).map(|_| NewJob::new("late", json!(now()))).collect();
    queue.add_all(&jobs).await?;
    let begin = Instant::now();
    late(&queue, jobs.len(), WORK, std::future::ready(Ok(()))).await?;
    Ok(f64::from(BACKLOG) / begin.elapsed().as_secs_f64())
}

/// Jobs arrive at this rate a second, whether or not earlier ones have been run.
async fn pick_up(redis: &Redis, rate: f64) -> anyhow::Result<Vec<f64>> {
    let queue = queue(redis).await?;
    let interval = Duration::from_secs_f64(1.0 / rate);
    let count = u32::try_from(SPAN.as_nanos() / interval.as_nanos())?;
    let adding = async {
        let begin = tokio::time::Instant::now();
        for n in 0..count {
            tokio::time::sleep_until(begin + interval * n).await;
            let (queue, due) = (queue.clone(), now());
            tokio::spawn(async move { queue.add(NewJob::new("late", json!(due))).await });
        }
        Ok(())
    };
    late(&queue, count.try_into()?, WORK, adding).await
}

/// Jobs a second that are added, with 50 callers, and run, in 50 slots, behind others that wait; and bytes of one of these.
async fn deep(redis: &Redis, waiting: u32, count: u32, rounds: u32) -> anyhow::Result<[f64; 3]> {
    let queue = queue(redis).await?;
    let empty = used_memory(redis).await?;
    add_in_bulk(&queue, waiting, 500).await?;
    let bytes = (used_memory(redis).await? - empty) / f64::from(waiting);
    let (mut added, mut run) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        added.push(f64::from(count) / ours::add(&queue, count, 50).await?);
        run.push(f64::from(count) / run_some(&queue, count, 50).await?);
    }
    let middle = |rates: Vec<f64>| median(rates.into_iter()).context("no rounds");
    Ok([middle(added)?, middle(run)?, bytes])
}

async fn used_memory(redis: &Redis) -> anyhow::Result<f64> {
    let info = redis.cmd::<String>("INFO memory").await;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:")).context("INFO memory has changed")?;
    Ok(line.trim().parse()?)
}

/// Jobs a second of several processes; all of them together run each job once.
async fn shared(redis: &Redis, processes: u32, count: u32) -> anyhow::Result<f64> {
    add_in_bulk(&queue(redis).await?, count, 500).await?;
    let mut children = Vec::new();
    for _ in 0..processes {
        children.push(start(redis.port())?);
    }
    for (_, lines) in &mut children {
        lines.next_line().await?.context("a process did not start")?;
    }
    let begin = Instant::now();
    for (child, _) in &mut children {
        drop(child.stdin.take()); // that starts it
    }
    let mut done = 0;
    for (_, lines) in &mut children {
        done += lines.next_line().await?.context("a process did not finish")?.parse::<u32>()?;
    }
    let seconds = begin.elapsed().as_secs_f64();
    let completed: u32 = redis.cmd(&format!("ZCARD bull:{QUEUE}:completed")).await;
    ensure!((done, completed) == (count, count), "{done} of {count} were run, {completed} are completed");
    Ok(f64::from(count) / seconds)
}

type Lines = tokio::io::Lines<BufReader<tokio::process::ChildStdout>>;

fn start(port: u16) -> anyhow::Result<(Child, Lines)> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("peer").args([port.to_string(), "share".to_owned(), "0".to_owned(), SHARED_SLOTS.to_string()]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
    let lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
    Ok((child, lines))
}

/// One of the processes: says that it is ready, begins when stdin ends, and says how many jobs it has run.
pub(super) async fn be_one(url: &str, slots: u32) -> anyhow::Result<()> {
    let queue: Queue<Value> = Queue::new(connect(url).await?, "bull", QUEUE)?;
    println!("ready");
    let queue = Arc::new(queue);
    std::io::stdin().read_to_end(&mut Vec::new())?;
    let options = WorkerOptions::default().concurrency(slots as usize);
    let handler = |_: Job<Value>| async { Outcome::Completed(Value::Null) };
    let drained =
        Worker::new(Queue::clone(&queue), options, handler)?.drain(Duration::ZERO, CancellationToken::new()).await;
    println!("{}", drained.completed);
    Ok(())
}
