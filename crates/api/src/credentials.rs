//! The login at the database, read again from its file while the API runs: a new password needs no restart.

use std::time::Duration;

use examhall_boot::{settings::ApiSettings, start::StartError};
use examhall_store::Store;
use secrecy::{ExposeSecret, SecretString};
use tokio_util::sync::CancellationToken;

/// How often the settings are read again.
const INTERVAL: Duration = Duration::from_secs(10);

/// Lets new connections log in as `load` says, whenever that differs from `known`, until `stop`. Settings that cannot be read
/// change nothing: the next start says what is wrong with them.
pub(crate) async fn follow(
    store: Store,
    mut known: SecretString,
    load: impl Fn() -> Result<ApiSettings, StartError>,
    stop: CancellationToken,
) {
    let mut clock = tokio::time::interval(INTERVAL);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        let Ok(ApiSettings { database_url, .. }) = load() else { continue };
        if database_url.expose_secret() == known.expose_secret() {
            continue;
        }
        match store.use_login(database_url.expose_secret()) {
            Ok(()) => tracing::info!("Database credentials reloaded"),
            Err(error) => tracing::warn!(%error, "Database credentials not reloaded: the old ones stay"),
        }
        known = database_url;
    }
}
