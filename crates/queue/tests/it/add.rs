use std::time::Duration;

use examhall_queue::{Backoff, Connection, Error, JobOptions, Queue, RetryPolicy};
use examhall_testkit::Redis;
use serde_json::{Value, json};

use crate::{Bench, connect, job, named};

#[tokio::test]
async fn plain_job_is_stored_in_wait_in_bullmqs_layout() {
    let bench = Bench::start().await;
    let id = bench.add(JobOptions::default()).await;
    assert_eq!(id, "1");
    assert_eq!(bench.redis.cmd::<Vec<String>>("LRANGE bull:email:wait 0 -1").await, ["1"]);
    assert_eq!(bench.redis.cmd::<Vec<String>>("ZRANGE bull:email:marker 0 -1").await, ["0"]);
    assert_eq!(bench.redis.cmd::<String>("HGET bull:email:meta opts.maxLenEvents").await, "10000");
    let mut hash = bench.hash("1").await;
    assert!(hash.remove("timestamp").is_some_and(|ms| ms.len() == 13));
    let mut fields: Vec<_> = hash.into_iter().collect();
    fields.sort();
    let expected = [
        ("data", r#"{"to":"ü@x.example"}"#),
        ("delay", "0"),
        ("name", "send-email"),
        ("opts", r#"{"attempts":0}"#),
        ("priority", "0"),
    ];
    assert_eq!(fields, expected.map(|(field, value)| (field.to_owned(), value.to_owned())));
}

#[tokio::test]
async fn prioritized_jobs_are_sorted_by_priority_and_arrival() {
    let bench = Bench::start().await;
    for (id, priority) in [("p5", 5), ("p1a", 1), ("p1b", 1), ("p2", 2)] {
        bench.add(named(id).priority(priority)).await;
    }
    let order: Vec<String> = bench.redis.cmd("ZRANGE bull:email:prioritized 0 -1").await;
    assert_eq!(order, ["p1a", "p1b", "p2", "p5"]);
    let score: String = bench.redis.cmd("ZSCORE bull:email:prioritized p2").await;
    assert_eq!(score, (2 * 4_294_967_296_i64 + 4).to_string());
    assert_eq!(bench.field("p2", "priority").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn delayed_job_is_scored_by_its_due_time() {
    let bench = Bench::start().await;
    let options = JobOptions::default().delay(Duration::from_secs(2)).priority(3);
    let id = bench.add(options).await;
    let timestamp: i64 = bench.field(&id, "timestamp").await.expect("a field").parse().expect("a number");
    let scores: [String; 2] =
        [bench.redis.cmd("ZSCORE bull:email:delayed 1").await, bench.redis.cmd("ZSCORE bull:email:marker 1").await];
    assert_eq!(scores, [((timestamp + 2000) * 4096).to_string(), (timestamp + 2000).to_string()]);
    assert_eq!(bench.field(&id, "delay").await.as_deref(), Some("2000"));
}

#[tokio::test]
async fn adding_an_id_twice_adds_one_job() {
    let bench = Bench::start().await;
    assert_eq!(bench.add(named("m-7")).await, "m-7");
    assert_eq!(bench.add(named("m-7")).await, "m-7");
    assert_eq!(bench.redis.cmd::<i64>("LLEN bull:email:wait").await, 1);
    assert_eq!(bench.redis.cmd::<i64>("GET bull:email:id").await, 2);
    let events: String =
        format!("{:?}", bench.redis.cmd::<examhall_redis::Value>("XRANGE bull:email:events - +").await);
    assert!(events.contains("duplicated"), "{events}");
}

#[tokio::test]
async fn add_all_keeps_the_order() {
    let bench = Bench::start().await;
    let jobs: Vec<_> = (0..300).map(|_| job(JobOptions::default())).collect();
    let ids = bench.queue.add_all(&jobs).await.expect("added");
    assert_eq!(ids, (1..=300).map(|id| id.to_string()).collect::<Vec<_>>());
    assert_eq!(bench.redis.cmd::<i64>("LLEN bull:email:wait").await, 300);
}

#[tokio::test]
async fn invalid_ids_and_priorities_are_rejected_before_a_write() {
    let bench = Bench::start().await;
    for id in ["", "123", "0", "0:x", "a:b", "meta", "wait", "events"] {
        let refused = bench.queue.add(job(named(id))).await;
        assert!(matches!(refused, Err(Error::BadJobId { .. })), "{id:?}: {refused:?}");
    }
    let refused = bench.queue.add(job(JobOptions::default().priority(2_097_152))).await;
    assert!(matches!(refused, Err(Error::BadPriority(2_097_152))), "{refused:?}");
    assert_eq!(bench.redis.cmd::<i64>("DBSIZE").await, 0);
    let connection = bench.queue.connection().clone();
    for (prefix, name) in [("bull", "a:b"), ("bull", ""), ("", "email")] {
        assert!(matches!(Queue::<Value>::new(connection.clone(), prefix, name), Err(Error::BadQueueName { .. })));
    }
}

#[tokio::test]
async fn error_for_a_bad_url_hides_its_password() {
    for url in ["", "localhost", "http://localhost", "redis-sentinel://u:hunter2@h:1"] {
        let refused = Connection::open(url).expect_err("must be refused").to_string();
        assert!(refused.contains("not a Redis URL") && !refused.contains("hunter2"), "{refused}");
    }
}

#[tokio::test]
async fn scripts_are_loaded_again_after_a_restart_of_redis() {
    let mut redis = Redis::start().await;
    let queue: Queue<Value> = Queue::new(connect(&redis).await, "bull", "email").expect("good names");
    queue.add(job(JobOptions::default())).await.expect("added");
    redis.restart().await;
    // With an id, an add whose answer was lost can be repeated.
    examhall_testkit::eventually("added again", Duration::from_mins(1), || async {
        queue.add(job(named("m-1"))).await.ok()
    })
    .await;
    assert_eq!(redis.cmd::<Vec<String>>("LRANGE bull:email:wait 0 -1").await, ["m-1"]);
}

#[tokio::test]
async fn add_fails_at_once_while_redis_is_unreachable() {
    let mut redis = Redis::start().await;
    let queue: Queue<Value> = Queue::new(connect(&redis).await, "bull", "email").expect("good names");
    redis.kill().await;
    let started = std::time::Instant::now();
    let refused = queue.add(job(JobOptions::default())).await;
    assert!(matches!(refused, Err(Error::Redis(_))), "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(20), "it does not wait for Redis: {:?}", started.elapsed());
}

#[tokio::test]
async fn options_are_written_with_bullmqs_names() {
    let bench = Bench::start().await;
    let retry = RetryPolicy::new(5, Backoff::exponential(Duration::from_secs(1)));
    let id = bench.add(JobOptions::default().retry(retry).keep_logs(5)).await;
    let opts: Value = serde_json::from_str(&bench.field(&id, "opts").await.expect("a field")).expect("JSON");
    assert_eq!(opts, json!({"attempts": 5, "backoff": {"type": "exponential", "delay": 1000}, "kl": 5}));
}

#[tokio::test]
async fn jobs_are_counted_by_state() {
    let bench = Bench::start().await;
    bench.add(JobOptions::default()).await;
    bench.add(JobOptions::default().priority(1)).await;
    let id = bench.add(JobOptions::default().delay(Duration::from_secs(9))).await;
    let due = bench.field(&id, "timestamp").await.and_then(|ms| ms.parse::<i64>().ok()).map(|ms| ms + 9000);
    let counts = bench.queue.counts().await.expect("counted");
    assert_eq!((counts.waiting, counts.prioritized, counts.delayed, counts.next_due), (1, 1, 1, due));
}
