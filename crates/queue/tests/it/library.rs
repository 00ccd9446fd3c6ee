//! What a program builds on: hooks, spans, routers, its own client, errors.

use std::{error::Error as _, io::Write, sync::Arc, time::Duration};

use examhall_queue::{
    Backoff, Connection, Error, Event, Failure, Handler, Job, JobOptions, Json, NewJob, Outcome, Position, Queue,
    Router, Worker, WorkerEvent,
    fred::{
        interfaces::ClientLike,
        types::{Builder, config::Config},
    },
};
use examhall_testkit::eventually;
use parking_lot::{Mutex, MutexGuard};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::{Bench, TIMEOUT, done, named, quick, watchful};

/// Lines that hooks or logs have written.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock()
    }

    fn read(&self) -> Vec<String> {
        String::from_utf8_lossy(&self.lock()).lines().map(ToOwned::to_owned).collect()
    }
}

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.lock().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn to_line(event: &WorkerEvent<'_>) -> String {
    match event {
        WorkerEvent::Active { id, name, attempt, .. } => format!("active {id} {name} {attempt}"),
        WorkerEvent::Progress { id, progress, .. } => format!("progress {id} {progress}"),
        WorkerEvent::Completed { id, attempt, returnvalue, .. } => format!("completed {id} {attempt} {returnvalue}"),
        WorkerEvent::Failed { id, attempt, reason, retried_after, .. } => {
            format!("failed {id} {attempt} {reason} {retried_after:?}")
        }
        WorkerEvent::Stalled { id, .. } => format!("stalled {id}"),
        WorkerEvent::Drained => "drained".to_owned(),
        WorkerEvent::Error { .. } => "error".to_owned(),
        other => format!("{other:?}"),
    }
}

/// A worker whose hooks write lines, after one that panics.
fn hooked<H: Handler<Value>>(
    bench: &Bench,
    options: examhall_queue::WorkerOptions,
    handler: H,
) -> (Worker<Value, H>, Lines) {
    let lines = Lines::default();
    let written = lines.clone();
    let worker = Worker::builder(bench.queue.clone())
        .options(options)
        .on(|event| assert!(matches!(event, WorkerEvent::Drained), "a hook that panics"))
        .on(move |event| writeln!(written.lock(), "{}", to_line(event)).expect("written"))
        .build(handler);
    (worker.expect("good options"), lines)
}

#[tokio::test]
async fn hooks_receive_what_the_worker_does() {
    let bench = Bench::start().await;
    bench.add(named("a").attempts(2).backoff(Backoff::fixed(Duration::ZERO))).await;
    bench.add(named("b")).await;
    let handler = |job: Job<Value>| async move {
        if job.attempts_made == 0 {
            return Err(Failure::new("boom"));
        }
        job.claim.set_progress(&50).await.expect("stored");
        Ok(7)
    };
    let (worker, lines) = hooked(&bench, quick().concurrency(1), handler);
    worker.drain(TIMEOUT, CancellationToken::new()).await;
    let expected = [
        "active a send-email 1",
        "failed a 1 boom Some(0ns)",
        "active b send-email 1",
        "failed b 1 boom None",
        "active a send-email 2",
        "progress a 50",
        "completed a 2 7",
        "drained",
    ];
    assert_eq!(lines.read(), expected);
}

#[tokio::test]
async fn hooks_receive_stalled_jobs_and_errors() {
    let mut bench = Bench::start().await;
    bench.redis.cmd::<i64>("HSET bull:email:x name send-email data {} opts {} timestamp 1").await;
    bench.redis.cmd::<i64>("LPUSH bull:email:active x").await; // its worker has vanished, and its lock is gone
    let (worker, lines) = hooked(&bench, watchful(), done);
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone()));
    let has = |line: &'static str| {
        let lines = lines.clone();
        eventually(line, TIMEOUT, move || {
            let found = lines.read().iter().any(|one| one == line);
            async move { found.then_some(()) }
        })
    };
    has("stalled x").await;
    has("completed x 1 null").await;
    bench.redis.kill().await;
    has("error").await;
    stop.cancel();
    running.await.expect("stops");
}

#[tokio::test]
async fn each_run_has_a_span() {
    let bench = Bench::start().await;
    let lines = Lines::default();
    let written = lines.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_env_filter("examhall_queue::job=debug,it=info")
        .with_ansi(false)
        .with_writer(move || written.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    bench.add(named("a")).await;
    bench
        .drain(|job: Job<Value>| async move {
            tracing::info!("runs");
            done(job).await
        })
        .await;
    let expected = r#"job{id="a" name="send-email" attempt=1}: it::library: runs"#;
    assert!(lines.read().iter().any(|line| line.contains(expected)), "{:?}", lines.read());
}

#[derive(Debug, Deserialize, Serialize)]
struct Greeting {
    to: String,
}

#[tokio::test]
async fn router_passes_jobs_to_the_handler_of_their_name() {
    let bench = Bench::start().await;
    let queue: Queue<Json> = bench.queue.typed();
    let router = Router::new()
        .on("greet", |job: Job<Greeting>| async move { Ok::<_, Outcome>(format!("hello {}", job.data.to)) })
        .on("add", |job: Job<Vec<i64>>| async move { Ok::<_, Outcome>(job.data.iter().sum::<i64>()) });
    let with = |id: &str| JobOptions::default().job_id(id);
    let greeting = Greeting { to: "Ada".into() };
    queue.typed().add(NewJob::new("greet", greeting).options(with("greet"))).await.expect("added");
    queue.typed().add(NewJob::new("add", vec![1, 2]).options(with("add"))).await.expect("added");
    queue.typed().add(NewJob::new("add", "secret").options(with("bad"))).await.expect("added");
    let unknown = Json::new(&json!({"big": 1})).expect("JSON");
    queue.add(NewJob::new("shout", unknown).options(with("unknown"))).await.expect("added");
    let drain = async |router: Router| {
        let worker = Worker::new(queue.clone(), quick(), router).expect("good options");
        worker.drain(Duration::ZERO, CancellationToken::new()).await
    };
    let drained = drain(router).await;
    assert_eq!((drained.completed, drained.failed.len()), (2, 2));
    assert_eq!(bench.field("greet", "returnvalue").await.as_deref(), Some(r#""hello Ada""#));
    assert_eq!(bench.field("add", "returnvalue").await.as_deref(), Some("3"));
    let reason = bench.field("bad", "failedReason").await.expect("a reason");
    assert!(reason.contains("cannot be read: invalid type: string, expected a sequence"), "{reason}");
    let reason = bench.field("unknown", "failedReason").await;
    assert_eq!(reason.as_deref(), Some("there is no handler for jobs named \"shout\""));

    queue.add(NewJob::new("shout", Json::new(&[1]).expect("JSON")).options(with("other"))).await.expect("added");
    let fallback = |job: Job<Json>| async move { Ok::<_, Outcome>(format!("{} {}", job.name, job.data.as_str())) };
    assert_eq!(drain(Router::new().fallback(fallback)).await.completed, 1);
    assert_eq!(bench.field("other", "returnvalue").await.as_deref(), Some(r#""shout [1]""#));
}

#[tokio::test]
async fn queue_works_over_a_client_of_the_callers() {
    let bench = Bench::start().await;
    let config = Config::from_url(&bench.redis.url()).expect("a good URL");
    let client = Builder::from_config(config.clone())
        .with_connection_config(|connection| connection.max_command_attempts = 1)
        .build()
        .expect("a good configuration");
    client.init().await.expect("connected");
    for connection in [Connection::from_client(client), configured(config).await] {
        let queue: Queue<Value> = Queue::new(connection, "bull", "own").expect("good names");
        queue.initialize().await.expect("a suitable server");
        let id = queue.add(NewJob::new("greet", json!({}))).await.expect("added");
        queue.add(NewJob::new("greet", json!({})).options(JobOptions::default().priority(3))).await.expect("added");
        queue.add(NewJob::new("greet", json!({})).options(JobOptions::default().delay(TIMEOUT))).await.expect("added");
        let stop = CancellationToken::new();
        let worker = Worker::new(queue.clone(), quick(), |_| async { Ok::<_, Outcome>(7) }).expect("good options");
        let running = tokio::spawn(worker.run(stop.clone()));
        let mut events = queue.events(Position::Start).await.expect("read");
        while !matches!(events.next().await.1, Event::Completed { .. }) {}
        let job = queue.wait_for_end(&id, TIMEOUT).await.expect("ended");
        assert_eq!(job.returnvalue, Some(json!(7)));
        stop.cancel();
        running.await.expect("stops");
        assert_eq!(queue.counts().await.expect("counted").delayed, 1);
        queue.pause().await.expect("paused");
        queue.obliterate(true).await.expect("obliterated");
    }
}

async fn configured(config: Config) -> Connection {
    let connection = Connection::from_config(config, examhall_queue::ConnectionOptions::default()).expect("usable");
    connection.ready().await.expect("connected");
    connection
}

#[tokio::test]
async fn errors_say_whether_they_pass_and_why() {
    let mut bench = Bench::start().await;
    let error = bench.queue.add(NewJob::new("x", json!({})).options(named("a:b"))).await.expect_err("a bad id");
    assert!(!error.is_transient(), "{error}");
    let unwritable = std::collections::HashMap::from([((1, 2), 3)]);
    let error = bench.queue.typed().add(NewJob::new("x", unwritable)).await.expect_err("no JSON");
    assert!(matches!(error, Error::Payload(_)) && !error.is_transient(), "{error}");
    let cause = error.source().and_then(|error| error.source()).expect("the serializer's error");
    assert_eq!(cause.to_string(), "key must be a string");
    bench.redis.kill().await;
    let error = bench.queue.counts().await.expect_err("Redis is away");
    assert!(error.is_transient() && error.source().is_some(), "{error}");
}

#[cfg(feature = "metrics")]
#[tokio::test]
async fn jobs_are_counted_for_a_recorder() {
    let bench = Bench::start().await;
    bench.add(named("a").attempts(2)).await;
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let rendered = recorder.handle();
    let handler = |job: Job<Value>| async move { if job.attempts_made == 0 { Err("boom") } else { Ok(()) } };
    let worker = metrics::with_local_recorder(&recorder, || {
        Worker::builder(bench.queue.clone()).options(quick()).export_metrics().build(handler)
    });
    worker.expect("good options").drain(TIMEOUT, CancellationToken::new()).await;
    let text = rendered.render();
    for line in [
        r#"queue_jobs_total{queue="email",outcome="completed"} 1"#,
        r#"queue_jobs_total{queue="email",outcome="retried"} 1"#,
    ] {
        assert!(text.contains(line), "{text}");
    }
}
