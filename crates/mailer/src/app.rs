//! The mailer: its parts, put together, run and stopped.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use examhall_boot::{
    health::Health,
    liveness::Liveness,
    metrics::Metrics,
    ops::Ops,
    settings::{DkimSettings, MailerSettings},
    supervisor,
};
use examhall_core::EmailJob;
use examhall_delivery::Ledger;
use examhall_queue::{Connection, Queue, Retention, Worker, WorkerControl, WorkerOptions};
use lettre::message::Mailbox;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::{
    bodies::{self, Bodies},
    breaker::Openness,
    dkim::Signer,
    gauges::Gauges,
    handler::SendMail,
    message::Author,
    outcomes::Outcomes,
    payload::Payload,
    smtp::{Limits, Transport, TransportOptions},
    suppressions::Suppressions,
};

/// How long the start waits for Redis before it goes on without.
const REDIS_PATIENCE: Duration = Duration::from_secs(2);
/// How often it is looked whether Redis has answered.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);
/// Silent for so long, Redis is asked for a sign of life; the worker's own calls are one.
const ASK_AFTER: Duration = Duration::from_secs(3);
/// Without a sign of life for so long the mailer is not ready.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// The mailer, put together.
pub struct Mailer {
    pub(crate) queue: Queue<Payload>,
    pub(crate) options: WorkerOptions,
    pub(crate) handler: SendMail,
    pub(crate) settings: MailerSettings,
    health: Health,
}

impl Mailer {
    /// Checks the settings and starts connecting to Redis.
    ///
    /// # Errors
    /// Where a setting cannot be used.
    pub fn new(settings: MailerSettings) -> anyhow::Result<Self> {
        let redis = Connection::open(settings.redis_url.expose_secret()).context("REDIS_URL")?;
        let queue = Queue::new(redis.clone(), &settings.queue.prefix, &settings.queue.name).context("QUEUE_NAME")?;
        let options = TransportOptions {
            limits: Limits { step: settings.smtp_timeout, dot: settings.smtp_final_timeout },
            hold: settings.probe_interval,
            redis: redis.clone(),
        };
        let transport = Transport::from_url(settings.smtp_url.expose_secret(), &options).context("SMTP_URL")?;
        let health = Health::default();
        let ledger = Ledger::new(redis.clone(), EmailJob::LEDGER_PREFIX, EmailJob::KEEP_LEDGER);
        let handler = SendMail {
            transport: Arc::new(transport),
            author: author(&settings)?,
            health: health.clone(),
            outcomes: Outcomes::new(ledger.clone()),
            ledger,
            suppressions: Suppressions::new(redis),
            hold_in_doubt: settings.hold_in_doubt,
            bodies: (!settings.keep_bodies).then(|| Bodies::new(queue.clone())),
            ambiguous: Arc::default(),
        };
        let options = WorkerOptions {
            concurrency: settings.concurrency,
            lock: settings.queue.lock,
            stalled_interval: settings.queue.stalled_interval,
            name: "mailer".to_owned(),
            remove_on_complete: Some(Retention::For { age: EmailJob::KEEP_COMPLETED, count: None }),
            remove_on_fail: Some(Retention::For { age: EmailJob::KEEP_FAILED, count: None }),
            ..WorkerOptions::default()
        };
        Ok(Self { queue, options, handler, settings, health })
    }

    /// As [`new`](Self::new), and waits a little for Redis, which may be away.
    ///
    /// # Errors
    /// Where a setting cannot be used.
    pub async fn connect(settings: MailerSettings) -> anyhow::Result<Self> {
        let mailer = Self::new(settings)?;
        mailer.await_redis().await?;
        Ok(mailer)
    }

    /// Waits a little for Redis; where it is away, its lines are logged once it has come.
    ///
    /// # Errors
    /// Where it is there and the queue's keys cannot be.
    pub(crate) async fn await_redis(&self) -> anyhow::Result<()> {
        let queue = self.queue.clone();
        let mut connecting = tokio::spawn(async move {
            if queue.connection().ready().await.is_ok() {
                tracing::info!("Redis initialized");
            }
            match queue.initialize().await {
                Ok(()) => tracing::info!("Email queue initialized"),
                Err(error @ examhall_queue::Error::NeedsHashTag { .. }) => {
                    tracing::error!(%error, "QUEUE_PREFIX");
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, "Redis could not be looked at"),
            }
            Ok(())
        });
        let Ok(looked_at) = tokio::time::timeout(REDIS_PATIENCE, &mut connecting).await else {
            tracing::warn!("Redis unavailable, retrying");
            return Ok(());
        };
        looked_at?.context("QUEUE_PREFIX")
    }

    /// Mails that wait to be sent now.
    pub(crate) async fn due(&self) -> u64 {
        let counts = self.queue.counts().await.unwrap_or_default();
        u64::try_from(counts.waiting + counts.prioritized).unwrap_or(0)
    }

    /// Works the queue until `stop`, then finishes what it has in hand.
    ///
    /// # Errors
    /// Where the operators' port is taken.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let background = CancellationToken::new();
        self.watch(&background);
        let (health, connection) = (self.health.clone(), self.queue.connection().clone());
        let stopping = stop.clone();
        let readiness = move || {
            let said = health.readiness(connection.answered_within(READY_WITHIN));
            if stopping.is_cancelled() { said.stopping() } else { said }
        };
        let liveness = Liveness::default();
        let bind = self.settings.ops_bind;
        let ops = Ops::new(Metrics::install(), liveness.clone(), readiness).serve(bind, background.clone()).await;
        let ops = ops.with_context(|| format!("MAILER_OPS_BIND: cannot listen on {bind}"))?;
        tracing::info!("Health and metrics on port {}", ops.port());
        tracing::info!(concurrency = self.options.concurrency, "Mailer running");
        let sleeping = self.sleeping_connection()?;
        let (outcomes, bodies) = (self.handler.outcomes.clone(), self.handler.bodies.clone());
        let (transport, concurrency) = (Arc::clone(&self.handler.transport), self.options.concurrency);
        transport.watch(&self.handler.author.from.email, &background);
        self.wipe_leftovers(&background);
        let worker = Worker::new(self.queue.clone(), sleeping, self.options, self.handler);
        let gauges = Gauges { queue: self.queue.clone(), control: worker.control() };
        tokio::spawn(gauges.measure(self.settings.queue.name.clone(), background.clone()));
        tokio::spawn(hold(Arc::clone(&transport), worker.control(), concurrency, background.clone()));
        let control = worker.control();
        liveness.follow("worker", move || control.resting());
        tokio::spawn(supervisor::feed_watchdog(liveness.clone(), background.clone()));
        tokio::spawn(say_stopping(liveness, stop.clone()));
        supervisor::ready();
        worker.run(stop).await;
        outcomes.finish().await;
        if let Some(bodies) = bodies {
            bodies.finish().await;
        }
        background.cancel();
        transport.leave().await;
        self.queue.connection().close().await;
        Ok(())
    }

    /// Takes bodies out of Redis that a killed mailer left there, unless they are to be kept; until `stop`.
    pub(crate) fn wipe_leftovers(&self, stop: &CancellationToken) {
        if self.handler.bodies.is_some() {
            let (queue, stop) = (self.queue.clone(), stop.clone());
            tokio::spawn(async move { stop.run_until_cancelled(bodies::wipe_leftovers(&queue)).await });
        }
    }

    /// A connection for nothing but waiting.
    pub(crate) fn sleeping_connection(&self) -> anyhow::Result<Connection> {
        Connection::open(self.settings.redis_url.expose_secret()).context("REDIS_URL")
    }

    fn watch(&self, stop: &CancellationToken) {
        self.health.expect("smtp"); // known once a mail was tried
        let connection = self.queue.connection().clone();
        self.health.watch("redis", PROBE_INTERVAL, stop.clone(), move || {
            let connection = connection.clone();
            async move {
                if connection.answered_within(ASK_AFTER) {
                    return Ok(());
                }
                connection.ping().await.map_err(|error| error.to_string())
            }
        });
    }
}

/// Lets the worker take as much as the providers take: nothing while no mail can be sent, so that none is touched.
///
/// This is not BullMQ's pause, which would stop all workers of the queue.
async fn hold(transport: Arc<Transport>, control: WorkerControl, concurrency: usize, stop: CancellationToken) {
    let mut changes = transport.changes();
    loop {
        control.set_concurrency(match transport.openness() {
            Openness::Held | Openness::Nothing => 0,
            Openness::OneByOne => 1,
            Openness::All => concurrency,
        });
        match stop.run_until_cancelled(changes.changed()).await {
            Some(Ok(())) => {}
            _ => return,
        }
    }
}

/// What runs to its end now turns no more loop.
async fn say_stopping(liveness: Liveness, stop: CancellationToken) {
    stop.cancelled().await;
    supervisor::stopping();
    liveness.release();
}

fn author(settings: &MailerSettings) -> anyhow::Result<Author> {
    let from: Mailbox = settings.mail_from.parse().context("MAIL_FROM must be like Examhall <no-reply@example.com>")?;
    let signer = |dkim: &DkimSettings| {
        let domain = dkim.domain.clone().unwrap_or_else(|| from.email.domain().to_owned());
        Signer::new(dkim.key.expose_secret(), domain, dkim.selector.clone()).context("DKIM_KEY").map(Arc::new)
    };
    let dkim = settings.dkim.as_ref().map(signer).transpose()?;
    Ok(Author { from, dkim })
}
