use std::time::Duration;

use examhall_queue::{Backoff, Error, Event, Failure, Job, Outcome, Position, RetryPolicy, State};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{Bench, connect, named, quick};

async fn run_all<H: examhall_queue::Handler<Value>>(bench: &Bench, handler: H) {
    bench.worker(quick(), handler).drain(Duration::from_secs(5), CancellationToken::new()).await;
}

#[tokio::test]
async fn events_of_a_job_are_read_in_order() {
    let bench = Bench::start().await;
    let mut events = bench.queue.events(connect(&bench.redis).await, Position::Now).await.expect("read");
    let retry = RetryPolicy::new(2, Backoff::fixed(Duration::from_millis(20)));
    bench.add(named("a").retry(retry)).await;
    run_all(&bench, |job: Job<Value>| async move {
        job.claim.set_progress(&json!({"step": "x"})).await.expect("noted");
        if job.attempts_made == 0 { Outcome::Failed(Failure::new("boom")) } else { Outcome::Completed(json!(7)) }
    })
    .await;
    let id = || "a".to_owned();
    let mut read = Vec::new();
    while read.last() != Some(&Event::Drained) {
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
        Event::Drained,
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
    let mut events = bench.queue.events(connect(&bench.redis).await, Position::Start).await.expect("read");
    let mut last = String::new();
    for _ in 0..3 {
        last = events.next().await.0;
    }
    let blocking = connect(&bench.redis).await;
    let mut again = bench.queue.events(blocking, Position::After(last)).await.expect("read");
    assert_eq!(again.next().await.1, Event::Waiting { id: "b".into(), prev: None });
}

#[tokio::test]
async fn wait_for_end_returns_the_ended_job() {
    let bench = Bench::start().await;
    bench.add(named("a")).await;
    let waiting = async {
        let blocking = connect(&bench.redis).await;
        bench.queue.wait_for_end("a", blocking, Duration::from_secs(20)).await.expect("ended")
    };
    let (job, ()) = tokio::join!(waiting, run_all(&bench, |_| async { Outcome::Completed(json!("done")) }));
    assert_eq!((job.state, job.returnvalue), (State::Completed, Some(json!("done"))));
    bench.add(named("b")).await;
    let blocking = connect(&bench.redis).await;
    let waited = bench.queue.wait_for_end("b", blocking.clone(), Duration::from_millis(50)).await;
    assert!(matches!(waited, Err(Error::NotEnded(_))), "{waited:?}");
    let waited = bench.queue.wait_for_end("none", blocking, Duration::from_millis(50)).await;
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
