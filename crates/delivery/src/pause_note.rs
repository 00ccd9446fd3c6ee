//! Who paused the queue, when and why: BullMQ's pause has no place for it.

use examhall_core::Pause;
use examhall_redis::{Connection, Route};

use crate::Error;

/// Longest a note is kept, in seconds.
const KEEP: i64 = 90 * 24 * 3600;

/// The note about a pause, under one key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PauseNote {
    connection: Connection,
    key: String,
}

impl PauseNote {
    /// The note under `key`.
    pub fn new(connection: Connection, key: impl Into<String>) -> Self {
        Self { connection, key: key.into() }
    }

    /// Writes it, before the queue is paused.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn write(&self, pause: &Pause) -> Result<(), Error> {
        Ok(self.connection.set(&self.key, serde_json::to_string(pause)?, KEEP).await?)
    }

    /// Returns it; empty if another program has paused the queue.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn read(&self) -> Result<Pause, Error> {
        let stored = self.connection.get(&self.key).await?;
        Ok(stored.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
    }

    /// Deletes it, once the queue is not paused: the next pause may be by another program.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis does not answer.
    pub async fn clear(&self) -> Result<(), Error> {
        self.connection.command::<i64>("DEL", Route::Key(&self.key), vec![self.key.as_str().into()]).await?;
        Ok(())
    }
}
