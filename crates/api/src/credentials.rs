//! The logins at the database and at Redis, read again from their files while the API runs: a new password needs no restart.

use std::{sync::Arc, time::Duration};

use examhall_boot::{settings::ApiSettings, start::StartError};
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

use crate::state::State;

/// How often the settings are read again.
const INTERVAL: Duration = Duration::from_secs(10);

/// The URLs whose logins are in use.
pub(crate) struct Known {
    pub(crate) database: SecretString,
    pub(crate) redis: SecretString,
}

impl Known {
    pub(crate) fn of(settings: &ApiSettings) -> Self {
        Self { database: settings.database_url.clone(), redis: settings.redis_url.clone() }
    }
}

/// Lets new connections log in as `load` says, whenever that differs from what is `known`, until `stop`. Settings that cannot
/// be read change nothing: the next start says what is wrong with them.
pub(crate) async fn follow(
    state: Arc<State>,
    mut known: Known,
    load: impl Fn() -> Result<ApiSettings, StartError>,
    stop: CancellationToken,
) {
    let mut clock = tokio::time::interval(INTERVAL);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        let Ok(settings) = load() else { continue };
        let now = Known::of(&settings);
        if differs(&now.database, &known.database) {
            match state.store.use_login(now.database.expose_secret()) {
                Ok(()) => tracing::info!("Database credentials reloaded"),
                Err(error) => tracing::warn!(%error, "Database credentials not reloaded: the old ones stay"),
            }
        }
        if differs(&now.redis, &known.redis) {
            let url = now.redis.expose_secret();
            let of_queue = state.queue.connection().use_login(url).map_err(anyhow::Error::from);
            match of_queue.and_then(|()| Ok(state.cache.use_login(url)?)) {
                Ok(()) => tracing::info!("Redis credentials reloaded"),
                Err(error) => tracing::warn!(%error, "Redis credentials not reloaded: the old ones stay"),
            }
        }
        known = now;
    }
}

fn differs(one: &SecretString, other: &SecretString) -> bool {
    one.expose_secret() != other.expose_secret()
}
