//! What a worker writes to its log, and what it remembers, through outages.

use std::time::{Duration, Instant};

use examhall_queue::{Connection, Job, NewJob, Outcome, Queue, Worker};
use examhall_redis::ConnectionOptions;
use examhall_testkit::{Proxy, eventually};
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::{
    Bench, TIMEOUT, done, gated, job,
    log::{Log, calls},
    named, quick,
};

const BEGINS: [&str; 3] = ["Queue not reached", "Locks could not be renewed", "Heartbeats could not be sent or read"];
const ENDS: [&str; 3] = ["Queue reached again", "Locks are renewed again", "Heartbeats are sent and read again"];

#[tokio::test]
async fn outage_has_one_line_at_its_begin_and_one_at_its_end() {
    let mut bench = Bench::start().await;
    let (gate, handler) = gated();
    let (_stop, _running) = bench.run_with(quick().drain_delay(Duration::from_millis(200)), handler);
    let (log, _guard) = Log::start();
    for outages in 1..=2 {
        bench.add(named(&format!("job-{outages}"))).await;
        bench.active(1).await;
        bench.blocked(1).await; // so the worker knows of the job
        bench.redis.kill().await;
        let all = async || BEGINS.iter().all(|line| log.count(line) == outages).then_some(());
        eventually("each kind fails", TIMEOUT, all).await;
        tokio::time::sleep(Duration::from_secs(3)).await; // time for more lines
        for line in BEGINS {
            assert_eq!(log.count(line), outages, "{}", log.text());
        }
        bench.redis.restart().await;
        // The server has forgotten the first one.
        eventually("a job is added", TIMEOUT, async || bench.queue.add(job(named("next"))).await.ok()).await;
        let all = async || ENDS.iter().all(|line| log.count(line) == outages).then_some(());
        eventually("the outage ends", TIMEOUT, all).await;
        gate.add_permits(2);
        bench.in_state("completed", 1).await;
    }
    assert!(log.text().contains("outage_ms="), "{}", log.text());
}

#[tokio::test]
async fn report_in_flight_is_no_lost_lock() {
    let bench = Bench::start().await;
    let (log, _guard) = Log::start();
    let jobs: Vec<_> = (0..12_000).map(|_| NewJob::new("x", Value::Null)).collect();
    bench.queue.add_all(&jobs).await.expect("added");
    let options = quick().concurrency(50).lock(Duration::from_secs(2));
    let (_stop, _running) = bench.run_with(options, done);
    bench.in_state("completed", 12_000).await;
    assert_eq!(log.count("Lock lost"), 0, "{}", log.text());
}

#[tokio::test]
async fn reclaimed_job_knows_how_often_it_was_started() {
    let bench = Bench::start().await;
    let proxy = Proxy::start(bench.redis.port()).await;
    let connection = Connection::open(&format!("redis://127.0.0.1:{}", proxy.port())).expect("a good URL");
    connection.ready().await.expect("connected");
    let queue: Queue<Value> = Queue::new(connection, "bull", "email").expect("good names");
    let handler = |job: Job<Value>| async move { Outcome::Completed(job.attempts_started.into()) };
    let worker = Worker::new(queue, quick(), handler).expect("good options");
    tokio::spawn(worker.run(CancellationToken::new()));
    bench.blocked(1).await;
    proxy.hold_from(&["send-email"]); // the answer of the poll that takes the job
    bench.queue.add(job(named("a"))).await.expect("added");
    eventually("the answer is held back", TIMEOUT, async || proxy.holds().then_some(())).await;
    proxy.cut();
    proxy.release();
    bench.in_state("completed", 1).await;
    assert_eq!(bench.field("a", "returnvalue").await.as_deref(), Some("1"));
    assert_eq!(bench.field("a", "ats").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn idle_worker_polls_once_per_drain_delay() {
    const DELAY: Duration = Duration::from_millis(250);
    let bench = Bench::start().await;
    let options = quick().drain_delay(DELAY).stalled_interval(TIMEOUT).lock(TIMEOUT);
    let (gate, handler) = gated();
    let (_stop, _running) = bench.run_with(options, handler);
    bench.add(named("held")).await; // a slot is in use, the others are free
    bench.active(1).await;
    for (state, adds) in [("idle", None), ("a job is delayed", Some(named("later").delay(TIMEOUT)))] {
        if let Some(options) = adds {
            bench.add(options).await;
        }
        // One that the marker wakes meanwhile, at another time within the delay.
        bench.redis.cmd::<i64>("ZADD bull:email:marker 0 0").await;
        bench.blocked(1).await;
        bench.redis.cmd::<String>("CONFIG RESETSTAT").await;
        let started = Instant::now();
        eventually("some blocks", TIMEOUT, async || (calls(&bench, "bzpopmin").await >= 8).then_some(())).await;
        let (polls, delays) = (calls(&bench, "evalsha").await, started.elapsed().as_millis() / DELAY.as_millis());
        assert!(u128::from(polls) <= delays + 1, "{state}: {polls} polls in {delays} drain delays");
        assert!(polls > 0, "{state}");
    }
    gate.add_permits(1);
    bench.in_state("completed", 1).await;
}

#[tokio::test]
async fn worker_survives_a_link_that_falls_silent() {
    let bench = Bench::start().await;
    let proxy = Proxy::start(bench.redis.port()).await;
    let (timeout, unresponsive) = (Duration::from_millis(500), Duration::from_secs(1));
    let options = ConnectionOptions::default().command_timeout(timeout).unresponsive_after(unresponsive);
    let connection =
        Connection::open_with(&format!("redis://127.0.0.1:{}", proxy.port()), options).expect("a good URL");
    connection.ready().await.expect("connected");
    let queue: Queue<Value> = Queue::new(connection, "bull", "email").expect("good names");
    let (gate, handler) = gated();
    let worker = Worker::new(queue, quick().drain_delay(timeout), handler).expect("good options");
    tokio::spawn(worker.run(CancellationToken::new()));
    bench.add(named("held")).await;
    bench.active(1).await;
    bench.blocked(1).await;
    proxy.silence();
    gate.add_permits(2);
    bench.add(named("next")).await;
    bench.in_state("completed", 2).await;
    assert_eq!(bench.field("held", "ats").await.as_deref(), Some("1"));
}

#[tokio::test]
async fn drain_without_slots_ends() {
    let bench = Bench::start().await;
    for id in ["a", "b", "c"] {
        bench.add(named(id)).await;
    }
    let drained = bench.worker(quick().concurrency(0), done).drain(TIMEOUT, CancellationToken::new()).await;
    assert_eq!(drained.completed, 0);
    let (gate, handler) = gated();
    let worker = bench.worker(quick().concurrency(1), handler);
    let control = worker.control();
    let draining = tokio::spawn(worker.drain(TIMEOUT, CancellationToken::new()));
    bench.active(1).await;
    control.set_concurrency(0);
    gate.add_permits(1);
    assert_eq!(draining.await.expect("ends").completed, 1);
}
