//! Assembles, runs and stops the mailer.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use examhall_boot::{
    health::Health,
    liveness::Liveness,
    metrics::Metrics,
    ops::Ops,
    settings::MailerSettings,
    start::{StartError, await_dependency},
    supervisor,
};
use examhall_core::EmailJob;
use examhall_delivery::{Ledger, MessageNames, Operations, Reports};
use examhall_queue::{Connection, Handler, Queue, Retention, Worker, WorkerControl, WorkerOptions};
use parking_lot::RwLock;
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::timeout,
};
use tokio_util::sync::CancellationToken;

use crate::{
    author::author,
    body_wiper::{self, BodyWiper},
    gauges::Gauges,
    handler::SendMail,
    heartbeat::Heartbeat,
    ledger_writer::LedgerWriter,
    payload::Payload,
    recorder::Recorder,
    redis_outage::RedisOutage,
    smtp::{CircuitState, EhloName, ProviderOptions, TRIAL, Timeouts, Transport},
    suppressions::Suppressions,
    upkeep,
};

/// Interval at which Redis is probed.
const PROBE_INTERVAL: Duration = Duration::from_secs(3);
/// Interval at which the credentials of mail servers are read again from their file.
const RELOAD_INTERVAL: Duration = Duration::from_secs(10);
/// Time without a reply of Redis after which the mailer is not ready.
const READY_WITHIN: Duration = Duration::from_secs(5);

/// The mailer.
pub struct Mailer {
    pub(crate) queue: Queue<Payload>,
    pub(crate) options: WorkerOptions,
    pub(crate) handler: SendMail,
    pub(crate) settings: MailerSettings,
    /// What operators see of all mailers.
    pub(crate) operations: Operations,
    health: Health,
    /// Cancelled once the mailer stops: then no mail waits long for a reply.
    pub(crate) stopping: CancellationToken,
}

impl Mailer {
    /// Checks the settings and starts connecting to Redis.
    ///
    /// # Errors
    /// Returns an error if a setting is invalid.
    pub fn new(settings: MailerSettings) -> anyhow::Result<Self> {
        let redis = Connection::open(settings.redis_url.expose_secret()).context("REDIS_URL")?;
        let queue = Queue::new(redis.clone(), &settings.queue.prefix, &settings.queue.name).context("QUEUE_NAME")?;
        let stopping = CancellationToken::new();
        let options = provider_options(&settings, &redis, &stopping)?;
        let transport = Transport::from_url(settings.smtp_url.expose_secret(), &options).context("SMTP_URL")?;
        let health = Health::default();
        let operations = Operations::new(&redis);
        let ledger = Ledger::new(redis.clone(), EmailJob::LEDGER_PREFIX, EmailJob::KEEP_LEDGER);
        let handler = SendMail {
            queue: queue.clone(),
            transport: Arc::new(transport),
            author: Arc::new(RwLock::new(Arc::new(author(&settings)?))),
            health: health.clone(),
            ledger_writer: LedgerWriter::new(ledger.clone(), names(&redis)),
            ledger,
            suppressions: Suppressions::new(redis, settings.suppressions),
            hold_in_doubt: settings.hold_in_doubt,
            body_wiper: (!settings.keep_bodies).then(|| BodyWiper::new(queue.clone())),
            redis_outage: RedisOutage::default(),
            ambiguous: Arc::default(),
            recorder: Recorder::new(&operations),
            busy: Arc::default(),
        };
        let options = WorkerOptions::default()
            .concurrency(settings.concurrency)
            .lock(settings.queue.lock)
            .stalled_interval(settings.queue.stalled_interval)
            .name("mailer")
            .remove_on_complete(Retention::age(EmailJob::KEEP_COMPLETED))
            .remove_on_fail(Retention::age(EmailJob::KEEP_FAILED));
        Ok(Self { queue, options, handler, settings, operations, health, stopping })
    }

    /// As [`new`](Self::new), and waits up to 2 s for Redis, which may be unavailable.
    ///
    /// # Errors
    /// Returns an error if a setting is invalid.
    pub async fn connect(settings: MailerSettings) -> Result<Self, StartError> {
        let mailer = Self::new(settings).map_err(StartError::Setting)?;
        mailer.await_redis().await?;
        Ok(mailer)
    }

    /// Waits up to 2 s for Redis. If it is unavailable, the connection is logged once it is there.
    ///
    /// # Errors
    /// Returns an error if Redis is a cluster and the queue's prefix has no hash tag.
    pub(crate) async fn await_redis(&self) -> Result<(), StartError> {
        let queue = self.queue.clone();
        let connected = async move {
            if queue.connection().ready().await.is_ok() {
                tracing::info!("Redis initialized");
            }
            queue.initialize().await?;
            tracing::info!("Email queue initialized");
            Ok::<_, examhall_queue::Error>(())
        };
        if !await_dependency("Redis", "QUEUE_PREFIX", connected).await? {
            tracing::warn!("Redis unavailable, retrying");
        }
        Ok(())
    }

    /// The worker of the queue with this handler.
    pub(crate) fn worker<H: Handler<Payload>>(
        queue: &Queue<Payload>,
        options: WorkerOptions,
        recorder: &Recorder,
        handler: H,
    ) -> Result<Worker<Payload, H>, examhall_queue::Error> {
        let (recorder, clock) = (recorder.clone(), queue.clone());
        let worker = Worker::builder(queue.clone()).options(options);
        worker.on(move |event| recorder.note(event, clock.now_ms())).build(handler)
    }

    /// What shows operators that this mailer runs.
    pub(crate) fn heartbeat(&self) -> Heartbeat {
        Heartbeat {
            fleet: self.operations.fleet.clone(),
            queue: self.queue.clone(),
            transport: Arc::clone(&self.handler.transport),
            slots: self.settings.concurrency,
            busy: Arc::clone(&self.handler.busy),
        }
    }

    /// What records bounces and complaints.
    pub(crate) fn reports(&self) -> Reports {
        let connection = self.queue.connection();
        Reports {
            ledger: self.handler.ledger.clone(),
            names: names(connection),
            suppressions: self.handler.suppressions.list().clone(),
            connection: connection.clone(),
            totals: EmailJob::REPORTS_KEY.to_owned(),
        }
    }

    /// Returns the number of mails that are due.
    pub(crate) async fn due(&self) -> u64 {
        let counts = self.queue.counts().await.unwrap_or_default();
        u64::try_from(counts.waiting + counts.prioritized).unwrap_or(0)
    }

    /// Works the queue until `stop`, then finishes the mails in flight.
    ///
    /// # Errors
    /// Returns an error if the operators' port is in use.
    pub async fn run(self, stop: CancellationToken) -> anyhow::Result<()> {
        let background = CancellationToken::new();
        self.watch(&background);
        let (health, connection) = (self.health.clone(), self.queue.connection().clone());
        let stopping = stop.clone();
        let readiness = move || {
            let readiness = health.readiness(connection.answered_within(READY_WITHIN));
            if stopping.is_cancelled() { readiness.stopping() } else { readiness }
        };
        let liveness = Liveness::default();
        let bind = self.settings.ops_bind;
        let ops = Ops::new(Metrics::install(), liveness.clone(), readiness).serve(bind, background.clone()).await;
        let ops = ops.with_context(|| format!("MAILER_OPS_BIND: cannot listen on {bind}"))?;
        tracing::info!("Health and metrics on port {}", ops.port());
        self.handler.author().staging.warn();
        tracing::info!(concurrency = self.options.concurrency, "Mailer running");
        let (handler, concurrency) = (self.handler.clone(), self.options.concurrency);
        let transport = Arc::clone(&handler.transport);
        transport.watch(&self.handler.author().probe_sender(), &background);
        self.wipe_leftovers(&background);
        let (reports, heartbeat) = (self.reports(), self.heartbeat());
        let beating = tokio::spawn(heartbeat.run(stop.clone()));
        tokio::spawn(handler.recorder.clone().run(background.clone()));
        tokio::spawn(upkeep::run(self.queue.clone(), self.operations.clone(), background.clone()));
        let worker = Self::worker(&self.queue, self.options, &handler.recorder, self.handler)?;
        let gauges = Gauges { queue: self.queue.clone(), control: worker.control(), reports };
        tokio::spawn(gauges.publish(self.settings.queue.name.clone(), background.clone()));
        tokio::spawn(limit_concurrency(transport, worker.control(), concurrency, self.health, background.clone()));
        let control = worker.control();
        liveness.follow("worker", move || control.since_iteration());
        tokio::spawn(supervisor::feed_watchdog(liveness.clone(), background.clone()));
        tokio::spawn(report_stopping(liveness, stop.clone(), self.stopping));
        supervisor::ready();
        worker.run(stop).await;
        let _ = beating.await; // its last command is sent
        handler.finish(&background).await;
        self.queue.connection().close().await;
        Ok(())
    }

    /// Wipes bodies that a killed mailer left in Redis, unless they are to be kept; until `stop`.
    pub(crate) fn wipe_leftovers(&self, stop: &CancellationToken) {
        if self.handler.body_wiper.is_some() {
            let (queue, stop) = (self.queue.clone(), stop.clone());
            tokio::spawn(async move { stop.run_until_cancelled(body_wiper::wipe_leftovers(&queue)).await });
        }
    }

    /// Reloads sender, DKIM keys, mail servers and their certificates at each SIGHUP, and when `SMTP_URL` has changed in its
    /// file, from the settings that `load` returns. New connections to Redis log in as its file says by then.
    ///
    /// # Errors
    /// Returns an error if the signal's handler cannot be installed.
    pub fn reload_on_hangup(
        &self,
        load: impl Fn() -> Result<MailerSettings, StartError> + Send + 'static,
    ) -> std::io::Result<()> {
        let mut hangup = signal(SignalKind::hangup())?;
        let (handler, redis, stopping) = (self.handler.clone(), self.queue.connection().clone(), self.stopping.clone());
        let (mut smtp, mut login) = (self.settings.smtp_url.clone(), self.settings.redis_url.clone());
        tokio::spawn(async move {
            loop {
                let is_asked = match timeout(RELOAD_INTERVAL, hangup.recv()).await {
                    Ok(Some(())) => true,
                    Ok(None) => return,
                    Err(_) => false,
                };
                let settings = load().map_err(StartError::into_error);
                let mut is_changed = false;
                if let Ok(settings) = &settings {
                    use_login(&redis, &mut login, &settings.redis_url);
                    is_changed = replace(&mut smtp, &settings.smtp_url);
                }
                if !is_asked && !is_changed {
                    continue;
                }
                let reloaded = async { reload(&handler, &settings?, &redis, &stopping).await };
                match reloaded.await {
                    Ok(()) => tracing::info!("Settings reloaded: sender, DKIM keys, mail servers, certificates"),
                    Err(error) => {
                        tracing::error!(error = format!("{error:#}"), "Settings not reloaded: the old ones stay");
                    }
                }
            }
        });
        Ok(())
    }

    fn watch(&self, stop: &CancellationToken) {
        self.health.expect("smtp"); // reported with the first mail
        let queue = self.queue.clone();
        self.health.watch("redis", PROBE_INTERVAL, stop.clone(), move || {
            let queue = queue.clone();
            async move {
                match queue.write_refusal().await {
                    Ok(None) => Ok(()),
                    Ok(Some(code)) => Err(format!("it refuses writes: {code}")),
                    Err(error) => Err(error.to_string()),
                }
            }
        });
    }
}

/// Lets connections to Redis log in as its URL says now, if that has changed.
fn use_login(redis: &Connection, known: &mut SecretString, url: &SecretString) {
    if replace(known, url) {
        match redis.use_login(url.expose_secret()) {
            Ok(()) => tracing::info!("Redis credentials reloaded"),
            Err(error) => tracing::warn!(%error, "Redis credentials not reloaded: the old ones stay"),
        }
    }
}

/// Returns whether there is another one now.
fn replace(known: &mut SecretString, url: &SecretString) -> bool {
    let is_another = known.expose_secret() != url.expose_secret();
    known.clone_from(url);
    is_another
}

/// Replaces what [`Mailer::reload_on_hangup`] names. If one setting is invalid, nothing changes.
async fn reload(
    handler: &SendMail,
    settings: &MailerSettings,
    redis: &Connection,
    stopping: &CancellationToken,
) -> anyhow::Result<()> {
    let author = author(settings)?;
    let options = provider_options(settings, redis, stopping)?;
    let from = author.probe_sender();
    handler.transport.reload(settings.smtp_url.expose_secret(), &options, &from).await.context("SMTP_URL")?;
    author.staging.warn();
    *handler.author.write() = Arc::new(author);
    Ok(())
}

/// Sets the worker's concurrency by the providers' circuits: while all are open, no mail is taken. A provider that answers
/// again is healthy, even if there is no mail to send.
///
/// BullMQ's pause would stop all workers of the queue.
async fn limit_concurrency(
    transport: Arc<Transport>,
    control: WorkerControl,
    concurrency: usize,
    health: Health,
    stop: CancellationToken,
) {
    let mut changes = transport.changes();
    let mut was_open = false;
    loop {
        let state = transport.circuit_state();
        let is_open = !state.allows_mail();
        if std::mem::replace(&mut was_open, is_open) && !is_open {
            health.report("smtp", Ok(()));
        }
        // A mail that takes long, perhaps minutes, is no reason to let others wait.
        let slow = transport.slow().min(concurrency);
        control.set_concurrency(match state {
            CircuitState::NeedsOperator | CircuitState::Open | CircuitState::Limited => 0,
            CircuitState::HalfOpen => 1 + slow,
            CircuitState::Closed => concurrency + slow,
        });
        // While a mail tries the provider out, it may become slow without a change.
        let wait = if state == CircuitState::HalfOpen { TRIAL / 4 } else { Duration::MAX };
        match stop.run_until_cancelled(timeout(wait, changes.changed())).await {
            Some(Ok(Ok(())) | Err(_)) => {}
            _ => return,
        }
    }
}

/// Ends the liveness checks at `stop`: a stopping process polls no more.
async fn report_stopping(liveness: Liveness, stop: CancellationToken, stopping: CancellationToken) {
    stop.cancelled().await;
    stopping.cancel();
    supervisor::stopping();
    liveness.release();
}

fn names(redis: &Connection) -> MessageNames {
    MessageNames::new(redis.clone(), EmailJob::NAMES_PREFIX, EmailJob::KEEP_LEDGER)
}

fn provider_options(
    settings: &MailerSettings,
    redis: &Connection,
    stopping: &CancellationToken,
) -> anyhow::Result<ProviderOptions> {
    Ok(ProviderOptions {
        timeouts: Timeouts { step: settings.smtp_timeout, end_of_data: settings.smtp_final_timeout },
        probe_interval: settings.probe_interval,
        ehlo_name: EhloName::new(settings.ehlo_name.as_deref()).context("SMTP_EHLO_NAME")?,
        redis: redis.clone(),
        stopping: stopping.clone(),
    })
}
