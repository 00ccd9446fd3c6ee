//! The application: its parts, put together, run and stopped.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use actix_web::{
    App, HttpServer,
    dev::ServerHandle,
    middleware::from_fn,
    web::{self, PayloadConfig},
};
use anyhow::Context;
use examhall_boot::{
    health::{Health, Readiness},
    liveness::{Liveness, Pulse},
    metrics::Metrics,
    ops::Ops,
    settings::ApiSettings,
    start::StartError,
    supervisor,
};

use examhall_delivery::Operations;
use examhall_store::Store;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::{
    auth::{AccessTokens, Passwords, revocations::Revocations},
    background::Background,
    connect::{await_redis, open_cache, open_queue, reports, watch},
    console,
    hooks::Hooks,
    http::{
        body::MAX_BODY,
        client::TrustedProxies,
        middleware::{self, cors, handle, head, no_route},
        public_path::PublicPath,
    },
    limits::Limits,
    listen::listen,
    mail::{BadReplyTo, MailComposer, Previews},
    papers::Papers,
    routes::{self, ReadinessCheck},
    seats::KnownSeats,
    site::Site,
    sitters::Sitters,
    state::State,
    statistics::StatisticsCache,
    submission,
    templates::Templates,
    upkeep,
    waiting::{Waiting, find_store},
};

/// How long requests in flight may take once the process is to stop.
const GRACE_SECONDS: u64 = 20;
/// How long a client may take to send the head of a request.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long the rest of a body is taken in after an answer that did not wait for it. Hung up on sooner, a client that is
/// still sending loses the answer.
const LINGER: Duration = Duration::from_secs(10);
/// How long the threads have to take over connections that were accepted for them.
const HANDOVER: Duration = Duration::from_secs(1);
/// How long a connection may rest between requests.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
/// Most connections at once, per thread.
const MAX_CONNECTIONS: usize = 10_000;
/// How often each HTTP thread says that it turns.
const PULSE_INTERVAL: Duration = Duration::from_secs(1);

/// The API, connected and listening, not answering yet.
pub struct Application {
    state: Arc<State>,
    health: Health,
    access_tokens: web::Data<AccessTokens>,
    trusted_proxies: web::Data<TrustedProxies>,
    cors_origins: Vec<String>,
    listener: std::net::TcpListener,
    drain_delay: Duration,
    threads: usize,
    liveness: Liveness,
    readiness: web::Data<ReadinessCheck>,
    stop: CancellationToken,
    /// Stops last: mails of the last requests are relayed, and operators see how it goes.
    background: CancellationToken,
    more_routes: Option<Routes>,
}

type Routes = Arc<dyn Fn(&mut web::ServiceConfig) + Send + Sync>;

impl Application {
    /// Connects to Redis and the database and takes the ports; logs a line for each. Redis may be away. A database that is
    /// away is waited for: meanwhile the API listens, is not ready, and answers with 503. Returns nothing if `stop` comes
    /// before it is there.
    ///
    /// # Errors
    /// Where a setting cannot be used, Redis is a cluster over which the queue's keys would be spread, the database refuses
    /// us, its tables are old and may not be migrated, or a port is taken.
    pub async fn start(
        settings: ApiSettings,
        metrics: Metrics,
        stop: CancellationToken,
    ) -> Result<Option<Self>, StartError> {
        let (templates, mail_composer, previews) = load_mails(&settings)?;
        let (queue, cache) = (open_queue(&settings)?, open_cache(&settings)?);
        await_redis(cache.clone(), queue.clone()).await?;

        let (health, liveness, background) = (Health::default(), Liveness::default(), CancellationToken::new());
        let found = find_store(&settings).await?;
        let listener = listen(settings.bind).await?;
        let ops = Ops::new(metrics, liveness.clone(), readiness_check(&health, &stop));
        serve_ops(ops, settings.ops_bind, &background).await?;
        let readiness: web::Data<ReadinessCheck> = web::Data::new(Box::new(readiness_check(&health, &stop)));
        let waiting = Waiting { health: &health, liveness: &liveness, readiness: readiness.clone(), stop: &stop };
        let Some(store) = Box::pin(waiting.for_database(&settings, &listener, found)).await? else { return Ok(None) };
        let revocations = load_revocations(&store).await?;
        upkeep::introduce(&store, &cache);
        let (public_path, site) = (PublicPath::of(&settings.public_url), Arc::new(Site::new(&settings)));
        let reports = reports(queue.connection(), settings.suppressions);
        Ok(Some(Self {
            access_tokens: web::Data::new(AccessTokens::new(&settings.auth_secrets, Arc::clone(&revocations))),
            state: Arc::new(State {
                store,
                cache,
                limits: Limits::new(queue.connection().clone()),
                revocations,
                ledger: reports.ledger.clone(),
                suppressions: reports.suppressions.clone(),
                operations: Operations::new(queue.connection()),
                hooks: Hooks::new(settings.hooks, reports),
                queue,
                papers: Papers::new(),
                sitters: Sitters::new(),
                seats: KnownSeats::new(),
                statistics: StatisticsCache::new(),
                passwords: Passwords::new()?,
                api_document: routes::document_at(public_path.root()).to_string().into(),
                public_path,
                mail_composer,
                previews,
                templates,
                site,
                changes: tokio::sync::watch::Sender::new(0),
                wake: Notify::new(),
                regrade: Notify::new(),
            }),
            health,
            trusted_proxies: web::Data::new(TrustedProxies(settings.trusted_proxies)),
            cors_origins: settings.cors_origins,
            listener,
            drain_delay: settings.drain_delay,
            threads: settings.threads,
            liveness,
            readiness,
            stop,
            background,
            more_routes: None,
        }))
    }

    /// Answers at other addresses too, behind the same middleware.
    #[must_use]
    pub fn with_routes(self, routes: impl Fn(&mut web::ServiceConfig) + Send + Sync + 'static) -> Self {
        Self { more_routes: Some(Arc::new(routes)), ..self }
    }

    /// What its routes use.
    pub(crate) fn state(&self) -> Arc<State> {
        Arc::clone(&self.state)
    }

    /// Where it listens.
    ///
    /// # Errors
    /// Where the system does not say.
    pub fn address(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Answers requests and relays mails until it is stopped, then finishes what is in flight.
    ///
    /// # Errors
    /// Where the server fails.
    pub async fn run(self) -> anyhow::Result<()> {
        let Self {
            state,
            health,
            access_tokens,
            trusted_proxies,
            cors_origins,
            listener,
            drain_delay,
            threads: workers,
            liveness,
            readiness,
            stop,
            background,
            more_routes,
        } = self;
        watch(&health, &state, &background);
        let background_tasks = Background::start(&state, &liveness, background.clone());
        let sweeper = tokio::spawn(submission::sweep(Arc::clone(&state), stop.clone()));

        let (shared, token) = (web::Data::from(Arc::clone(&state)), web::Data::new(stop.clone()));
        let (threads, alive) = (liveness.clone(), web::Data::new(liveness.clone()));
        let server = HttpServer::new(move || {
            actix_web::rt::spawn(keep_beating(threads.pulse("an HTTP thread")));
            App::new()
                .wrap(cors(&cors_origins))
                .wrap(from_fn(head))
                .wrap(from_fn(handle))
                .app_data(shared.clone())
                .app_data(access_tokens.clone())
                .app_data(trusted_proxies.clone())
                .app_data(readiness.clone())
                .app_data(alive.clone())
                .app_data(token.clone())
                .app_data(PayloadConfig::new(MAX_BODY))
                .configure(routes::all)
                .configure(|app| console::routes(app, &shared.site))
                .configure(|app| more_routes.iter().for_each(|routes| routes(app)))
                .default_service(web::to(no_route))
        })
        .on_connect(middleware::Connection::open)
        .workers(workers)
        .disable_signals()
        .shutdown_timeout(GRACE_SECONDS)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(LINGER)
        .keep_alive(KEEP_ALIVE)
        .max_connections(MAX_CONNECTIONS)
        .listen(listener)?
        .run();
        say_ready(&liveness, &background);
        let ((), ended) = tokio::join!(drain(stop, liveness, drain_delay, server.handle()), server);
        sweeper.await.context("the sweeper panicked")?;
        background_tasks.finish().await?;
        state.close().await;
        Ok(ended?)
    }
}

async fn load_revocations(store: &Store) -> anyhow::Result<Arc<Revocations>> {
    let revocations = Arc::new(Revocations::default());
    revocations.load(store).await.context("DATABASE_URL")?;
    Ok(revocations)
}

/// Ready while something can be served: all of it from the database; without it, once it was there, what Redis has cached.
fn readiness_check(health: &Health, stop: &CancellationToken) -> impl Fn() -> Readiness + Send + Sync + use<> {
    let (health, stop) = (health.clone(), stop.clone());
    move || {
        let serves_cached = health.has_answered("database") && health.is_up("redis");
        let readiness = health.readiness(health.is_up("database") || serves_cached);
        if stop.is_cancelled() { readiness.stopping() } else { readiness }
    }
}

/// Reads and checks the templates, and logs what an operator should know of them.
fn load_mails(settings: &ApiSettings) -> Result<(Arc<Templates>, MailComposer, Previews), StartError> {
    let templates = Templates::load(&settings.brand).map_err(|error| StartError::Setting(error.into()))?;
    for remark in templates.remarks() {
        tracing::warn!(reason = remark, "Some files of MAIL_TEMPLATES are missing or unused");
    }
    let templates = Arc::new(templates);
    let previews = Previews::new(settings, Arc::clone(&templates));
    let mail_composer = MailComposer::new(&settings.auth_secrets, settings, Arc::clone(&templates));
    let bad = |error: BadReplyTo| StartError::Setting(error.into());
    Ok((templates, mail_composer.map_err(bad)?, previews.map_err(bad)?))
}

async fn serve_ops(ops: Ops, bind: SocketAddr, stop: &CancellationToken) -> anyhow::Result<()> {
    let address = ops.serve(bind, stop.clone()).await;
    let address = address.with_context(|| format!("API_OPS_BIND: cannot listen on {bind}"))?;
    tracing::info!("Health and metrics on port {}", address.port());
    Ok(())
}

/// Notifies the supervisor that the API is ready, and feeds its watchdog from now on.
fn say_ready(liveness: &Liveness, stop: &CancellationToken) {
    tokio::spawn(supervisor::feed_watchdog(liveness.clone(), stop.clone()));
    supervisor::ready();
}

/// Once the process is to stop: says so, and lets go of the clients.
async fn drain(stop: CancellationToken, liveness: Liveness, delay: Duration, server: ServerHandle) {
    stop.cancelled().await;
    supervisor::stopping();
    liveness.release();
    // Load balancers see that it is not ready any more, and send nothing by the time that it hangs up.
    tokio::time::sleep(delay).await;
    // A stopping thread of actix leaves alone what was accepted for it and not taken yet. What comes from now on waits for
    // the next process, if systemd holds the socket.
    server.pause().await;
    tokio::time::sleep(HANDOVER).await;
    server.stop(true).await;
}

/// Beats for as long as the thread of this task turns.
async fn keep_beating(pulse: Pulse) {
    let mut clock = tokio::time::interval(PULSE_INTERVAL);
    clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        clock.tick().await;
        pulse.beat();
    }
}
