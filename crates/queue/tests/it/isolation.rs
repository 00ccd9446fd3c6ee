//! Broken keys: a job whose end cannot be reported is isolated, and a broken queue is left alone until it is repaired.

use std::time::Duration;

use examhall_queue::{FlowJob, FlowProducer, Job, JobKey, Outcome, State};
use examhall_testkit::eventually;
use serde_json::{Value, json};

use crate::{
    Bench, TIMEOUT, connect, done, gated,
    log::{Log, calls},
    named, quick, watchful,
};

const GIVEN_UP: &str = "The end of a job cannot be reported";
const BROKEN: &str = "A key of the queue has another type";

async fn break_it(bench: &Bench, commands: &str) {
    for command in commands.split("; ") {
        bench.redis.cmd::<()>(command).await;
    }
}

/// Waits until a job is completed.
async fn completed(bench: &Bench, id: &str) {
    let ended = async || bench.queue.get(id).await.ok()?.filter(|job| job.state == State::Completed);
    eventually(&format!("{id} is completed"), TIMEOUT, ended).await;
}

#[tokio::test]
async fn broken_keys_of_one_job_cost_no_other_job() {
    let bench = Bench::start().await;
    for commands in [
        "DEL bull:email:x:lock; RPUSH bull:email:x:lock a",
        "SET bull:email:x:lock another",
        "SET bull:email:x:logs text",
        "SET bull:email:x:dependencies text",
        "SET bull:email:x:unsuccessful text",
        "SET bull:email:x:processed text; SET bull:email:x:failed text",
        "DEL bull:email:x; SET bull:email:x text",
        "DEL bull:email:x; RPUSH bull:email:x a",
        "DEL bull:email:x",
        "HSET bull:email:x parentKey bull:email:p parent {; SET bull:email:p:dependencies text",
        "HSET bull:email:x rjk s; SET bull:email:repeat text; SET bull:email:repeat:s text",
        "HSET bull:email:x atm many ats 1e999 stc x priority -1 delay x timestamp x",
    ] {
        bench.redis.cmd::<String>("FLUSHALL").await;
        for id in ["a", "x", "b"] {
            bench.add(named(id)).await;
        }
        let (gate, handler) = gated();
        let (stop, running) = bench.run(handler);
        bench.active(3).await;
        break_it(&bench, commands).await;
        gate.add_permits(9);
        bench.add(named("later")).await;
        for id in ["a", "b", "later"] {
            completed(&bench, id).await;
        }
        stop.cancel();
        running.await.expect(commands);
    }
}

#[tokio::test]
async fn job_whose_end_cannot_be_reported_is_given_up() {
    let bench = Bench::start().await;
    let flows = FlowProducer::new(connect(&bench.redis).await, "bull");
    let parent = JobKey::new("bull", "parents", "p").expect("good names");
    let top = FlowJob::new("parents", "bind", &json!({})).expect("JSON").options(named("p"));
    flows.add(&top.children([FlowJob::new("other", "x", &json!({})).expect("JSON")])).await.expect("added");
    let child = FlowJob::new("email", "render", &json!({})).expect("JSON").options(named("x")).parent(parent);
    flows.add(&child).await.expect("added");
    bench.add(named("a")).await;
    let (log, _guard) = Log::start();
    let (gate, handler) = gated();
    let (_stop, _running) = bench.run_with(watchful(), handler);
    bench.active(2).await;
    bench.redis.cmd::<String>("SET bull:parents:p:processed text").await;
    gate.add_permits(9);
    bench.add(named("later")).await;
    for id in ["a", "later"] {
        completed(&bench, id).await;
    }
    eventually("it is given up", TIMEOUT, async || (log.count(GIVEN_UP) == 1).then_some(())).await;
    assert!(
        log.text().contains(r#"job_id="x" reason="the key bull:parents:p:processed is a string"#),
        "{}",
        log.text()
    );
    let dependencies = bench.redis.cmd::<i64>("SCARD bull:parents:p:dependencies").await;
    assert_eq!((bench.redis.cmd::<i64>("LLEN bull:email:active").await, dependencies), (1, 2), "nothing is half done");
    bench.redis.cmd::<i64>("DEL bull:parents:p:processed").await;
    completed(&bench, "x").await; // once its lock has run out
    assert_eq!(bench.redis.cmd::<i64>("HLEN bull:parents:p:processed").await, 1);
    assert_eq!(log.count(" ERROR "), log.count(GIVEN_UP) + log.count(BROKEN), "{}", log.text());
}

#[tokio::test]
async fn broken_queue_is_left_alone_until_it_is_repaired() {
    let bench = Bench::start().await;
    let (log, _guard) = Log::start();
    let keys = ["meta", "completed", "active", "wait", "stalled", "prioritized", "delayed"];
    let (mut logged, tested) = (0, if std::env::var_os("EXAMHALL_LONG").is_some() { keys.len() } else { 2 });
    for key in &keys[..tested] {
        bench.redis.cmd::<String>("FLUSHALL").await;
        let (gate, handler) = gated();
        let (stop, running) = bench.run_with(quick().concurrency(2), handler);
        for id in ["a", "b", "c"] {
            bench.add(named(id)).await;
        }
        bench.active(2).await;
        let key = format!("bull:email:{key}");
        let exists = bench.redis.cmd::<i64>(&format!("EXISTS {key}")).await == 1;
        if exists {
            bench.redis.cmd::<String>(&format!("RENAME {key} saved")).await;
        }
        bench.redis.cmd::<String>(&format!("SET {key} text")).await;
        gate.add_permits(9);
        bench.redis.cmd::<String>("CONFIG RESETSTAT").await;
        if !key.ends_with("stalled") {
            eventually(&format!("{key} is named"), TIMEOUT, async || (log.count(BROKEN) > logged).then_some(())).await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await; // time for a busy loop
        let scripts = calls(&bench, "evalsha").await;
        assert!(scripts < 40, "{key}: {scripts} scripts");
        logged = log.count(BROKEN);
        bench.redis.cmd::<i64>(&format!("DEL {key}")).await;
        if exists {
            bench.redis.cmd::<String>(&format!("RENAME saved {key}")).await;
        }
        for id in ["a", "b", "c"] {
            completed(&bench, id).await;
            assert_eq!(bench.field(id, "ats").await.as_deref(), Some("1"), "{key}");
        }
        stop.cancel();
        running.await.expect("stops");
        assert_eq!(log.count(GIVEN_UP), 0, "{key}: {}", log.text());
    }
}

#[tokio::test]
async fn long_fields_and_values_delay_no_job() {
    let bench = Bench::start().await;
    bench.redis.cmd::<String>("CONFIG SET proto-max-bulk-len 12mb").await;
    for id in ["x", "a", "b"] {
        bench.add(named(id)).await;
    }
    let long = "x".repeat(9 << 20);
    for field in ["stacktrace", "failedReason", "returnvalue", "other"] {
        bench.redis.command::<i64>(&["HSET", "bull:email:x", field, &long]).await;
    }
    let handler = move |job: Job<Value>| {
        let value = if job.id == "x" { Value::from("y".repeat(11 << 20)) } else { Value::Null };
        async move { Outcome::Completed(value) }
    };
    let (stop, running) = bench.run(handler);
    for id in ["a", "b", "x"] {
        completed(&bench, id).await;
    }
    stop.cancel();
    running.await.expect("stops");
    assert_eq!(bench.drain(done).await.completed, 0);
}

#[tokio::test]
async fn value_that_the_server_cannot_take_delays_no_job() {
    let bench = Bench::start().await;
    bench.redis.cmd::<String>("CONFIG SET proto-max-bulk-len 1mb").await;
    for id in ["x", "a", "b"] {
        bench.add(named(id)).await;
    }
    let (log, _guard) = Log::start();
    let handler = move |job: Job<Value>| {
        let value = if job.id == "x" { Value::from("y".repeat(2 << 20)) } else { Value::Null };
        async move { Outcome::Completed(value) }
    };
    let (stop, running) = bench.run(handler);
    bench.add(named("later")).await;
    for id in ["a", "b", "later"] {
        completed(&bench, id).await;
    }
    // The server closes the connection after its refusal, which may be lost with it: then it is an outage at first.
    let is_given_up = async || (log.count(GIVEN_UP) >= 1).then_some(());
    eventually("the job to be given up", TIMEOUT, is_given_up).await;
    assert_eq!(log.count(GIVEN_UP), 1, "{}", log.text());
    stop.cancel();
    running.await.expect("stops");
}
