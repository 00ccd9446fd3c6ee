//! The mailer: its parts, put together, run and stopped.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use anyhow::Context;
use examhall_boot::{health::Health, metrics::Metrics, ops::Ops, settings::MailerSettings};
use examhall_core::Timestamp;
use examhall_queue::{Connection, Counts, Ledger, Queue, Worker, WorkerOptions};
use secrecy::ExposeSecret;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    handler::SendMail,
    payload::Payload,
    smtp::{Limits, Transport, TransportOptions},
    suppressions::Suppressions,
};

/// How long the start waits for Redis before it goes on without.
const REDIS_PATIENCE: Duration = Duration::from_secs(2);
/// How often Redis is asked for a sign of life.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// Without a sign of life for so long the mailer is not ready.
const READY_WITHIN: Duration = Duration::from_secs(5);
/// What the ledger's keys begin with, and how long they live.
const LEDGER_PREFIX: &str = "mail:sent:";
const LEDGER_LIFE: Duration = Duration::from_hours(7 * 24);
/// How long draining waits for retries of mails that it touched.
const NEAR_RETRIES: Duration = Duration::from_secs(15);

/// The mailer, connected.
pub struct Mailer {
    queue: Queue<Payload>,
    sleeping: Connection,
    options: WorkerOptions,
    handler: SendMail,
    health: Health,
    settings: MailerSettings,
}

/// What [`Mailer::drain`] did, and what is left.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Drain {
    /// Mails that came to an end or were put off.
    pub drained: u64,
    /// Mails that a server accepted.
    pub sent: u64,
    /// Mails to be tried again later than draining waited.
    pub retried_later: u64,
    /// Mails that failed for good.
    pub failed: u64,
    /// Mails that may have been sent without our being told.
    pub ambiguous: u64,
    /// The jobs of the failed ones.
    pub failed_ids: Vec<String>,
    /// What is left in the queue.
    pub left: Left,
    /// How long it took.
    pub seconds: f64,
    /// Mails per second.
    pub per_second: f64,
}

/// What a drained queue still holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Left {
    /// Ready to be taken.
    pub waiting: i64,
    /// To be sent later.
    pub delayed: i64,
    /// In the hands of other workers.
    pub active_elsewhere: i64,
    /// When the next delayed one is due.
    pub next_at: Option<Timestamp>,
}

impl Mailer {
    /// Checks the settings and connects to Redis, which may be away.
    ///
    /// # Errors
    /// Where a setting cannot be used.
    pub async fn connect(settings: MailerSettings) -> anyhow::Result<Self> {
        let redis_url = settings.redis_url.expose_secret();
        let connection = Connection::open(redis_url).context("REDIS_URL")?;
        let queue = Queue::new(connection, &settings.queue.prefix, &settings.queue.name).context("QUEUE_NAME")?;
        let health = Health::default();
        let redis = queue.connection().clone();
        let options = TransportOptions {
            limits: Limits { step: settings.smtp_timeout, dot: settings.smtp_final_timeout },
            hold: settings.probe_interval,
            redis: redis.clone(),
        };
        let transport = Transport::from_url(settings.smtp_url.expose_secret(), &options).context("SMTP_URL")?;
        let handler = SendMail {
            transport: Arc::new(transport),
            from: settings.mail_from.parse().context("MAIL_FROM must be like Examhall <no-reply@example.com>")?,
            health: health.clone(),
            ledger: Ledger::new(redis.clone(), LEDGER_PREFIX, LEDGER_LIFE),
            suppressions: Suppressions::new(redis),
            hold_in_doubt: settings.hold_in_doubt,
            ambiguous: Arc::default(),
        };
        let options = WorkerOptions {
            concurrency: settings.concurrency,
            lock: settings.queue.lock,
            stalled_interval: settings.queue.stalled_interval,
            name: "mailer".to_owned(),
            ..WorkerOptions::default()
        };
        await_redis(queue.connection().clone()).await;
        Ok(Self {
            sleeping: Connection::open(redis_url).context("REDIS_URL")?,
            queue,
            options,
            handler,
            health,
            settings,
        })
    }

    /// Works the queue until `stop`, then finishes what it has in hand.
    ///
    /// # Errors
    /// Where the operators' port is taken.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let background = CancellationToken::new();
        self.watch(&background);
        let health = self.health.clone();
        let readiness = move || health.readiness(health.answered_within("redis", READY_WITHIN));
        let bind = self.settings.ops_bind;
        let ops = Ops::new(Metrics::install(), readiness).serve(bind, background.clone()).await;
        let ops = ops.with_context(|| format!("MAILER_OPS_BIND: cannot listen on {bind}"))?;
        tracing::info!("Health and metrics on port {}", ops.port());
        tracing::info!(concurrency = self.options.concurrency, "Mailer running");
        self.handler.transport.watch(&self.handler.from.email, &background);
        let queue = self.queue.clone();
        Worker::new(self.queue, self.sleeping, self.options, self.handler).run(stop).await;
        background.cancel();
        queue.connection().close().await;
        Ok(())
    }

    /// Sends what is due and ends; stops early at `stop`.
    ///
    /// # Errors
    /// Where Redis does not answer.
    pub async fn drain(self, stop: CancellationToken) -> anyhow::Result<Drain> {
        self.queue.connection().ping().await.context("Redis does not answer: check REDIS_URL")?;
        let started = Instant::now();
        let background = CancellationToken::new();
        self.handler.transport.watch(&self.handler.from.email, &background);
        let (queue, ambiguous) = (self.queue.clone(), Arc::clone(&self.handler.ambiguous));
        let worker = Worker::new(self.queue, self.sleeping, self.options, self.handler);
        let done = worker.drain(NEAR_RETRIES, stop).await;
        background.cancel();
        let counts = queue.counts().await.context("Redis does not answer")?;
        let seconds = started.elapsed().as_secs_f64();
        let failed = done.failed.len() as u64;
        let drained = done.completed + failed + done.retried_later;
        #[expect(clippy::cast_precision_loss, reason = "a rate for people")]
        let per_second = drained as f64 / seconds;
        Ok(Drain {
            drained,
            sent: done.completed,
            retried_later: done.retried_later,
            failed,
            ambiguous: ambiguous.load(Ordering::Relaxed),
            failed_ids: done.failed,
            left: Left::from(counts),
            seconds,
            per_second,
        })
    }

    fn watch(&self, stop: &CancellationToken) {
        self.health.expect("smtp"); // known once a mail was tried
        let connection = Arc::new(self.queue.connection().clone());
        self.health.watch("redis", PROBE_INTERVAL, stop.clone(), move || {
            let connection = Arc::clone(&connection);
            async move { connection.ping().await.map_err(|error| error.to_string()) }
        });
    }
}

impl From<Counts> for Left {
    fn from(counts: Counts) -> Self {
        Self {
            waiting: counts.waiting + counts.prioritized,
            delayed: counts.delayed,
            active_elsewhere: counts.active,
            next_at: counts.next_due.map(Timestamp::from_millis),
        }
    }
}

/// Waits a little for Redis; where it is away, its line is logged once it has come.
async fn await_redis(connection: Connection) {
    let mut connecting = tokio::spawn(async move {
        if connection.ready().await.is_ok() {
            tracing::info!("Redis initialized");
        }
    });
    if tokio::time::timeout(REDIS_PATIENCE, &mut connecting).await.is_err() {
        tracing::warn!("Redis unavailable, retrying");
    }
}
