//! Tests of the mailer, each with its own servers: in process, and as a process if it is killed or its command line is
//! tested.

mod bad_input;
mod bounces;
mod clocks;
mod delivery;
mod doubt;
mod faults;
mod identity;
mod kill;
mod metrics;
mod node_jobs;
mod oauth;
mod once;
mod one_bad;
mod operate;
mod operations;
mod our_trouble;
mod overtake;
mod postfix;
mod provider;
mod rates;
mod recipients;
mod redis;
mod reload;
mod replies;
mod servers;
mod staging;
mod suppressions;
mod terminal;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use examhall_boot::settings::{MailerSettings, Values};
use examhall_core::{EmailJob, Priority};
use examhall_mailer::{DrainOptions, DrainSummary, Mailer, Progress};
use examhall_queue::{Backoff, Connection, Counts, JobOptions, NewJob, Queue};
use examhall_testkit::{
    Action, DatabaseKind, Encryption, Phase, Process, RedisOptions, SmtpOptions, SmtpServer, World, eventually,
};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

/// Longer than any step takes, so that a busy machine fails no test.
const TIMEOUT: Duration = Duration::from_mins(2);

/// Locks that expire soon, so that the mails of a killed mailer are reclaimed.
const SHORT_LOCKS: [(&str, &str); 2] = [("QUEUE_LOCK_MS", "1000"), ("QUEUE_STALLED_INTERVAL_MS", "1000")];

/// The servers of a test, and a producer that adds mails to the queue.
struct Post {
    world: World,
    queue: Queue<Value>,
}

impl Post {
    async fn start() -> Self {
        Self::in_world(World::start().await).await
    }

    async fn in_world(world: World) -> Self {
        let connection = Connection::open(&world.redis.url()).expect("a good URL");
        connection.ready().await.expect("connected");
        let queue = Queue::new(connection, "bull", "email").expect("good names");
        Self { world, queue }
    }

    async fn start_with(options: SmtpOptions) -> Self {
        let mut post = Self::start().await;
        post.world.smtp = SmtpServer::start_with(options).await;
        post
    }

    /// As [`start`](Self::start), with a server that requires STARTTLS and a login.
    async fn start_with_login() -> Self {
        let log_in = Some(("examhall".to_owned(), "correct-horse".to_owned()));
        Self::start_with(SmtpOptions { encryption: Encryption::StartTls, log_in, ..SmtpOptions::default() }).await
    }

    /// As [`start`](Self::start), with these settings.
    async fn start_set(settings: &[(&str, &str)]) -> Self {
        let mut post = Self::start().await;
        for (name, value) in settings {
            post.world.set(name, value);
        }
        post
    }

    /// As [`start`](Self::start), with a Redis that survives a restart.
    async fn start_lasting() -> Self {
        let options = RedisOptions { append_only: true, ..RedisOptions::default() };
        Self::in_world(World::start_with(DatabaseKind::Sqlite, options).await).await
    }

    /// Adds `count` mails of this priority in bulk, to `s0@example.com`, `s1@example.com`, ...
    async fn add_bulk(&self, count: usize, priority: Priority) {
        let options = JobOptions::default()
            .priority(priority.to_bullmq())
            .attempts(EmailJob::ATTEMPTS)
            .backoff(Backoff::exponential(EmailJob::BACKOFF));
        let job = |n| {
            NewJob::new(EmailJob::NAME, json!({"to": format!("s{n}@example.com"), "subject": "x", "html": ""}))
                .options(options.clone())
        };
        let jobs: Vec<_> = (0..count).map(job).collect();
        for some in jobs.chunks(1_000) {
            self.queue.add_all(some).await.expect("added");
        }
    }

    /// Adds a mail to these recipients; returns its job's id.
    async fn add(&self, to: Value) -> String {
        self.add_data(json!({"to": to, "subject": "Hello", "html": "<p>Hi</p>", "text": "Hi"})).await
    }

    /// Adds a mail to each of `s0@example.com`, `s1@example.com`, ...
    async fn add_many(&self, count: usize) {
        for n in 0..count {
            self.add(json!(format!("s{n}@example.com"))).await;
        }
    }

    async fn add_data(&self, data: Value) -> String {
        self.add_with(data, JobOptions::default()).await
    }

    async fn add_with(&self, data: Value, options: JobOptions) -> String {
        let options = options
            .priority(Priority::DEFAULT.to_bullmq())
            .attempts(EmailJob::ATTEMPTS)
            .backoff(Backoff::exponential(EmailJob::BACKOFF));
        self.queue.add(NewJob::new(EmailJob::NAME, data).options(options)).await.expect("added")
    }

    /// Starts a mailer, and waits until its server hangs at `phase`.
    async fn mailer_hanging_at(&self, phase: Phase) -> Process {
        let is_reached = Arc::new(AtomicBool::new(false));
        let reached = Arc::clone(&is_reached);
        self.world.smtp.behave(move |now, _| {
            if now == phase {
                reached.store(true, Ordering::SeqCst);
                return Action::Hang;
            }
            Action::Proceed
        });
        let mailer = self.world.mailer(&[]);
        eventually("the phase", TIMEOUT, async || is_reached.load(Ordering::SeqCst).then_some(())).await;
        mailer
    }

    /// Runs a mailer until the queue is drained.
    async fn drain(&self) -> DrainSummary {
        self.drain_with(DrainOptions::default()).await
    }

    async fn drain_with(&self, options: DrainOptions) -> DrainSummary {
        let values = Values::from_pairs(self.world.settings()).expect("good settings");
        let mailer =
            Mailer::connect(MailerSettings::checked(&values).expect("good settings")).await.expect("connected");
        mailer.drain(options, Progress::default(), CancellationToken::new()).await.expect("drained")
    }

    async fn job(&self, id: &str) -> HashMap<String, String> {
        self.queue.raw(id).await.expect("read")
    }

    /// Returns the last failure reason of the job.
    async fn reason(&self, id: &str) -> String {
        self.job(id).await.remove("failedReason").unwrap_or_default()
    }

    /// Returns the job's return value.
    async fn returned(&self, id: &str) -> Value {
        serde_json::from_str(&self.job(id).await["returnvalue"]).expect("JSON")
    }

    async fn counts(&self) -> Counts {
        self.queue.counts().await.expect("read")
    }

    /// Waits until `count` jobs are completed.
    async fn completed(&self, count: i64) {
        eventually(&format!("{count} jobs completed"), TIMEOUT, async || {
            self.queue.counts().await.is_ok_and(|counts| counts.completed >= count).then_some(())
        })
        .await;
    }
}

fn reply(text: &str) -> Action {
    Action::Reply(text.to_owned())
}

/// Behaviour of a server that does `action` at `phase`, and proceeds otherwise.
fn at(phase: Phase, action: Action) -> impl Fn(Phase, &str) -> Action + Send + Sync + 'static {
    move |now, _| if now == phase { action.clone() } else { Action::Proceed }
}

/// Behaviour of a server that does `action` at the RCPT of addresses with this part, and proceeds otherwise.
fn at_rcpt(part: &'static str, action: Action) -> impl Fn(Phase, &str) -> Action + Send + Sync + 'static {
    move |phase, line| if phase == Phase::Rcpt && line.contains(part) { action.clone() } else { Action::Proceed }
}

/// Returns the time in ms since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    i64::try_from(since.as_millis()).expect("in range")
}

/// Returns the number of repetitions: the full count with `--long`.
fn count(long: usize, short: usize) -> usize {
    if is_long() { long } else { short }
}

fn is_long() -> bool {
    std::env::var_os("EXAMHALL_LONG").is_some()
}
