use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use examhall_queue::{Deduplication, Job, JobOptions, Outcome};
use examhall_testkit::eventually;
use serde_json::Value;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{Bench, TIMEOUT, done, job, named, quick};

#[tokio::test]
async fn concurrency_of_a_running_worker_changes() {
    let bench = Bench::start().await;
    for _ in 0..10 {
        bench.add(JobOptions::default()).await;
    }
    let (gate, running) = (Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
    let (inside, counted) = (Arc::clone(&gate), Arc::clone(&running));
    let handler = move |_: Job<Value>| {
        let (gate, running) = (Arc::clone(&inside), Arc::clone(&counted));
        async move {
            running.fetch_add(1, Ordering::SeqCst);
            gate.acquire().await.expect("open").forget();
            running.fetch_sub(1, Ordering::SeqCst);
            Outcome::Completed(Value::Null)
        }
    };
    let worker = bench.worker(quick().concurrency(2), handler);
    let (control, stop) = (worker.control(), CancellationToken::new());
    let worker = tokio::spawn(worker.run(stop.clone()));
    let at_once = async |jobs| {
        eventually(&format!("{jobs} jobs at once"), TIMEOUT, || async {
            (running.load(Ordering::SeqCst) == jobs).then_some(())
        })
        .await;
    };
    at_once(2).await;
    control.set_concurrency(5);
    at_once(5).await;
    control.set_concurrency(0);
    gate.add_permits(5);
    at_once(0).await;
    let counts = eventually("five are done", TIMEOUT, || async {
        bench.queue.counts().await.ok().filter(|counts| counts.completed == 5)
    })
    .await;
    assert_eq!((counts.waiting, counts.active), (5, 0));
    control.set_concurrency(1);
    at_once(1).await;
    gate.add_permits(5);
    stop.cancel();
    worker.await.expect("stops");
}

#[tokio::test]
async fn deduplication_lasts_until_the_end_or_its_ttl() {
    let bench = Bench::start().await;
    let deduplicated = |deduplication| JobOptions::default().deduplication(deduplication);
    let simple = || deduplicated(Deduplication::simple("resend:7"));
    assert_eq!([bench.add(simple()).await, bench.add(simple()).await], ["1", "1"]);
    let ttl = || deduplicated(Deduplication::ttl("reset:7", Duration::from_hours(1)));
    assert_eq!([bench.add(ttl()).await, bench.add(ttl()).await], ["3", "3"]);
    assert_eq!(bench.drain(done).await.completed, 2);
    assert_eq!(bench.add(simple()).await, "5", "the first job has ended");
    assert_eq!(bench.redis.cmd::<i64>("PEXPIRE bull:email:de:reset:7 1").await, 1, "the id is not free yet");
    let id = eventually("the time to live has passed", TIMEOUT, || async {
        Some(bench.add(ttl()).await).filter(|id| id != "3")
    })
    .await;
    assert_eq!(bench.redis.cmd::<String>("GET bull:email:de:reset:7").await, id);
    bench.queue.remove("5").await.expect("removed");
    assert_eq!(bench.redis.cmd::<i64>("EXISTS bull:email:de:resend:7").await, 0);
}

#[tokio::test]
async fn concurrent_adds_share_scripts() {
    let bench = Bench::start().await;
    let adds: Vec<_> = (0..1000)
        .map(|n| {
            let queue = bench.queue.clone();
            tokio::spawn(async move { queue.add(job(named(&format!("m-{n}")))).await })
        })
        .collect();
    for (n, add) in adds.into_iter().enumerate() {
        assert_eq!(add.await.expect("no panic").expect("added"), format!("m-{n}"));
    }
    let calls: String = bench.redis.cmd("INFO commandstats").await;
    let scripts: u64 = calls
        .lines()
        .filter_map(|line| {
            line.strip_prefix("cmdstat_eval")?.split_once("calls=")?.1.split(',').next()?.parse::<u64>().ok()
        })
        .sum();
    assert!(scripts < 500, "{scripts} scripts");
}

#[tokio::test]
async fn poisoned_job_fails_with_a_reason_and_readable_fields() {
    let bench = Bench::start().await;
    let long = format!("\"{}\"", "x".repeat(8 * 1024 * 1024));
    for (id, data) in [("long", long.as_str()), ("broken", "{\"to\":"), ("opts", "{}")] {
        bench
            .redis
            .command::<i64>(&["HSET", &format!("bull:email:{id}"), "name", "x", "data", data, "opts", "{"])
            .await;
        bench.redis.cmd::<i64>(&format!("LPUSH bull:email:wait {id}")).await;
    }
    let drained = bench.drain(done).await;
    assert_eq!((drained.completed, drained.failed.len()), (0, 3));
    let reason = async |id: &str| bench.field(id, "failedReason").await.expect("a reason");
    assert_eq!(reason("long").await, "the job's data has 8388610 bytes, and 8388608 are read at most");
    let broken = bench.hash("broken").await;
    assert!(broken["failedReason"].starts_with("the job's data cannot be read: EOF"), "{broken:?}");
    assert_eq!((broken["data"].as_str(), broken["opts"].as_str()), (r#""{\"to\":""#, r#"{"attempts":0}"#));
    assert!(reason("opts").await.starts_with("the job's options cannot be read: EOF"));
    assert_eq!(bench.field("opts", "opts").await.as_deref(), Some(r#"{"attempts":0}"#));
}

#[tokio::test]
async fn global_concurrency_limits_all_workers_together() {
    let bench = Bench::start().await;
    bench.queue.set_global_concurrency(Some(2)).await.expect("set");
    for _ in 0..30 {
        bench.add(JobOptions::default()).await;
    }
    let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut workers = Vec::new();
    for _ in 0..2 {
        let (running, most) = (Arc::clone(&running), Arc::clone(&most));
        let handler = move |_: Job<Value>| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            async move {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(5)).await; // the work of the job
                running.fetch_sub(1, Ordering::SeqCst);
                Outcome::Completed(Value::Null)
            }
        };
        workers.push(tokio::spawn(bench.worker(quick(), handler).run(CancellationToken::new())));
    }
    eventually("all are done", TIMEOUT, || async { (bench.queue.counts().await.ok()?.completed == 30).then_some(()) })
        .await;
    assert_eq!(most.load(Ordering::SeqCst), 2);
    workers.iter().for_each(tokio::task::JoinHandle::abort);
}
