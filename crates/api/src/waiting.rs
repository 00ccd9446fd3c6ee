//! The API while its database is away at the start: it listens, is alive and not ready, and answers the rest with 503.

use std::{net::TcpListener, time::Duration};

use actix_web::{App, HttpResponse, HttpServer, dev::ServerHandle, middleware::from_fn, web};
use examhall_boot::{health::Health, liveness::Liveness, settings::ApiSettings, start::StartError, supervisor};
use examhall_store::Store;
use tokio_util::sync::CancellationToken;

use crate::{
    connect::open_store,
    http::{middleware::head, problem::Problem},
    routes::{self, ReadinessCheck},
};

/// First and longest pause between two attempts.
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long its requests may take once the database is there: they only say that it was not.
const GRACE_SECONDS: u64 = 1;

/// What answers meanwhile.
pub(crate) struct Waiting<'a> {
    pub(crate) health: &'a Health,
    pub(crate) liveness: &'a Liveness,
    pub(crate) readiness: web::Data<ReadinessCheck>,
    pub(crate) stop: &'a CancellationToken,
}

impl Waiting<'_> {
    /// Waits for a database unless it was found at the first attempt; returns nothing if the process is stopped before.
    ///
    /// # Errors
    /// Returns an error if it is there and cannot be used.
    pub(crate) async fn for_database(
        &self,
        settings: &ApiSettings,
        listener: &TcpListener,
        found: Result<Store, anyhow::Error>,
    ) -> Result<Option<Store>, StartError> {
        let mut away = match found {
            Ok(store) => return Ok(Some(store)),
            Err(error) => error,
        };
        tracing::warn!(error = %format!("{away:#}"), "Database unavailable, retrying");
        let server = self.serve(listener)?;
        let watchdog = self.stop.child_token();
        tokio::spawn(supervisor::feed_watchdog(self.liveness.clone(), watchdog.clone()));
        supervisor::ready();
        let mut pause = FIRST_PAUSE;
        let opened = loop {
            self.health.report("database", Err(format!("{:#}", away.root_cause())));
            if self.stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                break Ok(None);
            }
            away = match find_store(settings).await {
                Ok(Ok(store)) => break Ok(Some(store)),
                Ok(Err(error)) => error,
                Err(error) => break Err(error),
            };
            pause = (pause * 2).min(LONGEST_PAUSE);
        };
        server.stop(true).await;
        watchdog.cancel();
        opened
    }

    fn serve(&self, listener: &TcpListener) -> anyhow::Result<ServerHandle> {
        let (readiness, alive) = (self.readiness.clone(), web::Data::new(self.liveness.clone()));
        let server = HttpServer::new(move || {
            App::new()
                .wrap(from_fn(head))
                .app_data(readiness.clone())
                .app_data(alive.clone())
                .configure(routes::health::routes)
                .default_service(web::to(not_yet))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(GRACE_SECONDS)
        .listen(listener.try_clone()?)?
        .run();
        let handle = server.handle();
        tokio::spawn(server);
        Ok(handle)
    }
}

async fn not_yet() -> HttpResponse {
    Problem::unavailable("the database is not there yet").respond(None)
}

/// Opens the store, or returns why the database is away.
///
/// # Errors
/// Returns an error if it is there and cannot be used.
pub(crate) async fn find_store(settings: &ApiSettings) -> Result<Result<Store, anyhow::Error>, StartError> {
    match open_store(settings).await {
        Err(StartError::Unavailable(error)) if is_outage(&error) => Ok(Err(error)),
        opened => opened.map(Ok),
    }
}

/// Whether the database is away for a time, and not refusing for good.
fn is_outage(error: &anyhow::Error) -> bool {
    error.downcast_ref::<examhall_store::Error>().is_some_and(examhall_store::Error::is_outage)
}
