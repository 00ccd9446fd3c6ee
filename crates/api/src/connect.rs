//! Redis and the database at the start, and whether they answer from then on.

use std::{sync::Arc, time::Duration};

use anyhow::{Context, anyhow};
use examhall_boot::{
    health::Health,
    settings::{ApiSettings, SuppressionSettings},
    start::{StartError, await_dependency},
};
use examhall_cache::Cache;
use examhall_core::{EmailJob, KEY_SPACES};
use examhall_delivery::{Ledger, MessageNames, Reports, SuppressionPolicy, Suppressions};
use examhall_queue::{Connection, Queue};
use examhall_store::Store;
use secrecy::ExposeSecret;
use tokio_util::sync::CancellationToken;

use crate::{check, state::State};

/// How often each dependency is probed.
const PROBE_INTERVAL: Duration = Duration::from_secs(1);

/// Waits a little for Redis; where it is away, its two lines are logged once it has come.
///
/// # Errors
/// Where it is there and the queue's keys cannot be.
pub(crate) async fn await_redis(cache: Cache, queue: Queue<EmailJob>) -> Result<(), StartError> {
    let cached = async move {
        if cache.ready().await.is_ok() {
            tracing::info!("Redis initialized");
        }
        Ok(())
    };
    let connected = async move {
        tokio::try_join!(cached, queue.initialize())?;
        tracing::info!("Email queue initialized");
        Ok::<_, examhall_queue::Error>(())
    };
    if !await_dependency("Redis", "QUEUE_PREFIX", connected).await? {
        tracing::warn!("Redis unavailable, retrying");
    }
    Ok(())
}

/// Connects to the database, and brings its tables up to date if the settings say so.
///
/// # Errors
/// Returns an error if it does not answer, or if its tables are older and may not be migrated.
pub(crate) async fn open_store(settings: &ApiSettings) -> Result<Store, StartError> {
    let (url, connections) = (settings.database_url.expose_secret(), settings.database_connections);
    if check::is_sqlite_in_production(settings) {
        tracing::warn!(reason = check::SQLITE_IN_PRODUCTION, "The database is SQLite in production");
    }
    let store = Store::connect_with(url, connections).await.map_err(unusable_database)?;
    if settings.database_auto_migrate {
        store.migrate().await.context("the database cannot be migrated")?;
    } else if !store.is_migrated().await.context("DATABASE_URL")? {
        return Err(anyhow!("the database's tables are older than this version: run `api migrate`").into());
    }
    tracing::info!("Database connected & synced");
    Ok(store)
}

/// Distinguishes a URL that can never be used from a database that is down.
pub(crate) fn unusable_database(error: examhall_store::Error) -> StartError {
    match error {
        examhall_store::Error::BadUrl => StartError::setting("DATABASE_URL", error),
        error => StartError::Unavailable(anyhow::Error::from(error).context("DATABASE_URL")),
    }
}

/// Starts to connect to the cache's Redis.
///
/// # Errors
/// Returns an error if a setting cannot be used.
pub(crate) fn open_cache(settings: &ApiSettings) -> Result<Cache, StartError> {
    let cache = Cache::builder(KEY_SPACES).prefix(settings.cache_prefix.clone());
    cache.open(settings.redis_url.expose_secret()).map_err(|error| StartError::setting("REDIS_URL", error))
}

/// Starts to connect to the queue's Redis.
///
/// # Errors
/// Returns an error if a setting cannot be used.
pub(crate) fn open_queue(settings: &ApiSettings) -> Result<Queue<EmailJob>, StartError> {
    let redis = Connection::open(settings.redis_url.expose_secret());
    let redis = redis.map_err(|error| StartError::setting("REDIS_URL", error))?;
    let queue = Queue::new(redis, &settings.queue.prefix, &settings.queue.name);
    queue.map_err(|error| StartError::setting("QUEUE_NAME", error))
}

/// Ledger, suppressions and reports, as the mailer has them.
pub(crate) fn reports(redis: &Connection, settings: SuppressionSettings) -> Reports {
    let policy = SuppressionPolicy { lifetime: settings.lifetime, per_minute: settings.per_minute };
    Reports {
        ledger: Ledger::new(redis.clone(), EmailJob::LEDGER_PREFIX, EmailJob::KEEP_LEDGER),
        names: MessageNames::new(redis.clone(), EmailJob::NAMES_PREFIX, EmailJob::KEEP_LEDGER),
        suppressions: Suppressions::new(redis.clone(), EmailJob::SUPPRESSED_KEY, policy),
        connection: redis.clone(),
        totals: EmailJob::REPORTS_KEY.to_owned(),
    }
}

/// Probes Redis and the database until `stop`.
pub(crate) fn watch(health: &Health, state: &Arc<State>, stop: &CancellationToken) {
    let shared = Arc::clone(state);
    health.watch("redis", PROBE_INTERVAL, stop.clone(), move || {
        let state = Arc::clone(&shared);
        async move { state.cache.ping().await.map_err(|error| error.to_string()) }
    });
    let shared = Arc::clone(state);
    health.watch("queue", PROBE_INTERVAL, stop.clone(), move || {
        let state = Arc::clone(&shared);
        async move { accepts_writes(&state.queue).await }
    });
    let shared = Arc::clone(state);
    health.watch("database", PROBE_INTERVAL, stop.clone(), move || {
        let state = Arc::clone(&shared);
        async move {
            for (pool, open, idle) in state.store.pools() {
                metrics::gauge!("database_connections", "pool" => pool, "state" => "open").set(open);
                metrics::gauge!("database_connections", "pool" => pool, "state" => "idle").set(idle);
            }
            state.store.ping().await.map_err(|error| error.to_string())
        }
    });
}

/// A full Redis, or a replica, answers `PING` and takes no mail.
async fn accepts_writes(queue: &Queue<EmailJob>) -> Result<(), String> {
    match queue.write_refusal().await {
        Ok(None) => Ok(()),
        Ok(Some(code)) => Err(format!("it refuses writes: {code}")),
        Err(error) => Err(error.to_string()),
    }
}
