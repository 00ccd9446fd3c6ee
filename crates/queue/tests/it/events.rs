use std::time::Duration;

use examhall_queue::{Backoff, Error, Event, Failure, Job, Outcome, Position, RetryPolicy, State};
use examhall_testkit::eventually;
use futures_util::{StreamExt, future::join_all};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{Bench, TIMEOUT, done, named, quick};

async fn run_all<H: examhall_queue::Handler<Value>>(bench: &Bench, handler: H) {
    bench.worker(quick(), handler).drain(Duration::from_secs(5), CancellationToken::new()).await;
}

#[tokio::test]
async fn events_of_a_job_are_read_in_order() {
    let bench = Bench::start().await;
    let mut events = bench.queue.events(Position::Now).await.expect("read");
    let retry = RetryPolicy::new(2, Backoff::fixed(Duration::from_millis(20)));
    bench.add(named("a").retry(retry)).await;
    run_all(&bench, |job: Job<Value>| async move {
        job.claim.set_progress(&json!({"step": "x"})).await.expect("noted");
        if job.attempts_made == 0 { Outcome::Failed(Failure::new("boom")) } else { Outcome::Completed(json!(7)) }
    })
    .await;
    let id = || "a".to_owned();
    let mut read = Vec::new();
    while !matches!(read.last(), Some(Event::Delayed { .. })) {
        read.push(events.next().await.1);
    }
    let Event::Delayed { due, .. } = read[4] else { panic!("{read:?}") };
    let progress = || Event::Progress { id: id(), progress: json!({"step": "x"}) };
    let waiting = |prev: Option<&str>| Event::Waiting { id: id(), prev: prev.map(ToOwned::to_owned) };
    let expected = [
        Event::Added { id: id(), name: "send-email".into() },
        waiting(None),
        Event::Active { id: id() },
        progress(),
        Event::Delayed { id: id(), due },
    ];
    assert_eq!(read, expected);
    read.clear();
    while read.last() != Some(&Event::Drained) {
        read.push(events.next().await.1);
    }
    let completed = Event::Completed { id: id(), returnvalue: json!(7) };
    assert_eq!(read, [waiting(Some("delayed")), Event::Active { id: id() }, progress(), completed, Event::Drained]);
}

#[tokio::test]
async fn reading_continues_after_a_position() {
    let bench = Bench::start().await;
    for id in ["a", "b"] {
        bench.add(named(id)).await;
    }
    let mut events = bench.queue.events(Position::Start).await.expect("read");
    let mut last = String::new();
    for _ in 0..3 {
        last = events.next().await.0;
    }
    let mut again = bench.queue.events(Position::After(last)).await.expect("read");
    assert_eq!(again.next().await.1, Event::Waiting { id: "b".into(), prev: None });
}

#[tokio::test]
async fn wait_for_end_returns_the_ended_job() {
    let bench = Bench::start().await;
    bench.add(named("a")).await;
    let waiting = async { bench.queue.wait_for_end("a", Duration::from_secs(20)).await.expect("ended") };
    let (job, ()) = tokio::join!(waiting, run_all(&bench, |_| async { Outcome::Completed(json!("done")) }));
    assert_eq!((job.state, job.returnvalue), (State::Completed, Some(json!("done"))));
    bench.add(named("b")).await;
    let waited = bench.queue.wait_for_end("b", Duration::from_millis(50)).await;
    assert!(matches!(waited, Err(Error::NotEnded(_))), "{waited:?}");
    let waited = bench.queue.wait_for_end("none", Duration::from_millis(50)).await;
    assert!(matches!(waited, Err(Error::NotFound(_))), "{waited:?}");
}

#[tokio::test]
async fn log_keeps_as_many_lines_as_the_options_say() {
    let bench = Bench::start().await;
    bench.add(named("a").keep_logs(2)).await;
    run_all(&bench, |job: Job<Value>| async move {
        for line in ["one", "two", "three"] {
            job.claim.log(line).await.expect("noted");
        }
        Outcome::Completed(Value::Null)
    })
    .await;
    assert_eq!(bench.queue.logs("a", 0, 10).await.expect("read"), ["two", "three"]);
}

#[tokio::test]
async fn waiters_share_one_connection() {
    let bench = Bench::start().await;
    let before = bench.connections().await;
    let ids: Vec<_> = (0..50).map(|n| format!("job-{n}")).collect();
    for id in &ids {
        bench.add(named(id)).await;
    }
    // Two waiters for each job, on clones of the queue.
    let waiting = ids.iter().chain(&ids).map(|id| {
        let queue = bench.queue.clone();
        async move { queue.wait_for_end(id, TIMEOUT).await.expect("ended").state }
    });
    let waiting = async {
        let waiting = join_all(waiting);
        let watching = async {
            let blocked =
                async || bench.redis.cmd::<String>("INFO clients").await.contains("blocked_clients:1\r").then_some(());
            eventually("a blocked reader", TIMEOUT, blocked).await;
            assert_eq!(bench.connections().await, before + 1);
            run_all(&bench, done).await;
        };
        tokio::join!(waiting, watching).0
    };
    assert_eq!(waiting.await, [State::Completed; 100]);
    let closed = async || (bench.connections().await == before).then_some(());
    eventually("the shared connection is closed", TIMEOUT, closed).await;
    bench.add(named("later")).await;
    let later = bench.queue.wait_for_end("later", TIMEOUT);
    assert_eq!(tokio::join!(later, run_all(&bench, done)).0.expect("ended").state, State::Completed);
}

#[tokio::test]
async fn events_are_a_stream_that_closes_its_connection() {
    let bench = Bench::start().await;
    let before = bench.connections().await;
    bench
        .redis
        .command::<String>(&["XADD", "bull:email:events", "*", "event", "added", "jobId", "a", "name", "x"])
        .await;
    let events = bench.queue.events(Position::Start).await.expect("read");
    let first: Vec<_> = events.map(|(_, event)| event).take(1).collect().await;
    assert_eq!(first, [Event::Added { id: "a".into(), name: "x".into() }]);
    let closed = async || (bench.connections().await == before).then_some(());
    eventually("the connection is closed", TIMEOUT, closed).await;
}

#[tokio::test]
async fn event_that_is_no_utf8_does_not_block_the_next() {
    let bench = Bench::start().await;
    let script = "redis.call('XADD', 'bull:email:events', '*', 'event', 'active', 'jobId', '\\255')";
    bench.redis.command::<Option<i64>>(&["EVAL", script, "0"]).await;
    bench.add(named("a")).await;
    let mut events = bench.queue.events(Position::Start).await.expect("read");
    assert_eq!(events.next().await.1, Event::Active { id: "\u{fffd}".into() });
    assert_eq!(events.next().await.1, Event::Added { id: "a".into(), name: "send-email".into() });
}
