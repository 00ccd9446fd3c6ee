//! Tokens that count once, whatever process they reach: against replays.

use std::time::Duration;

use examhall_redis::{Connection, Route};

use crate::Error;

/// Tokens that were used, under `<prefix><token>`. Cheap to clone.
#[derive(Clone, Debug)]
pub struct UsedTokens {
    connection: Connection,
    prefix: String,
    lifetime: Duration,
}

impl UsedTokens {
    /// Tokens that are remembered for `lifetime`.
    pub fn new(connection: Connection, prefix: impl Into<String>, lifetime: Duration) -> Self {
        Self { connection, prefix: prefix.into(), lifetime }
    }

    /// Uses a token; returns `false` if it was used before.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it may be used then.
    pub async fn take(&self, token: &str) -> Result<bool, Error> {
        let key = format!("{}{token}", self.prefix);
        let seconds = self.lifetime.as_secs().max(1).to_string();
        let args = vec![key.as_str().into(), "1".into(), "NX".into(), "EX".into(), seconds.into()];
        let set: Option<String> = self.connection.command("SET", Route::Key(&key), args).await?;
        Ok(set.is_some())
    }

    /// Lets a token be used again.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer: it may stay used then.
    pub async fn give_back(&self, token: &str) -> Result<(), Error> {
        let key = format!("{}{token}", self.prefix);
        self.connection.command::<i64>("DEL", Route::Key(&key), vec![key.as_str().into()]).await?;
        Ok(())
    }
}
