//! The user and password that new connections log in with, which can be replaced while a program runs.

use std::{fmt, sync::Arc};

use fred::types::config::{Config, CredentialProvider, Server};
use parking_lot::Mutex;

/// User and password.
type Credentials = (Option<String>, Option<String>);

/// Shared by all connections that were made of one configuration.
pub(crate) struct Login(Mutex<Credentials>);

impl Login {
    /// Has what is connected with `config` log in by it. None behind Sentinel, where fred would log in at the sentinels by
    /// it as well, or if the configuration has a provider of its own.
    pub(crate) fn of(config: &mut Config) -> Option<Arc<Self>> {
        if config.server.is_sentinel() || config.credential_provider.is_some() {
            return None;
        }
        let login = Arc::new(Self(Mutex::new(credentials(config))));
        config.credential_provider = Some(Arc::<Self>::clone(&login));
        Some(login)
    }

    /// From now on connections log in as another configuration says.
    pub(crate) fn replace(&self, config: &Config) {
        *self.0.lock() = credentials(config);
    }
}

fn credentials(config: &Config) -> Credentials {
    (config.username.clone(), config.password.clone())
}

impl fmt::Debug for Login {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Login").finish_non_exhaustive() // no secret in a log
    }
}

#[async_trait::async_trait]
impl CredentialProvider for Login {
    async fn fetch(&self, _: Option<&Server>) -> Result<Credentials, fred::error::Error> {
        Ok(self.0.lock().clone())
    }
}
