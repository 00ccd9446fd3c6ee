//! Owners of deduplication ids.

use super::Queue;
use crate::{Error, script};

impl<T> Queue<T> {
    /// Reads the id of the job that has a deduplication id, if it is in use.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn deduplication_owner(&self, deduplication_id: &str) -> Result<Option<String>, Error> {
        self.client.command("GET", &self.client.keys().of(&format!("de:{deduplication_id}")), &[]).await
    }

    /// Frees a deduplication id, so that the next job that has it is added, and returns whether it was in use. With an
    /// `owner`, only if that job has it.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn free_deduplication_id(&self, deduplication_id: &str, owner: Option<&str>) -> Result<bool, Error> {
        let args = vec![deduplication_id.into(), owner.unwrap_or_default().into()];
        self.eval(&script::FREE_DEDUPLICATION_ID, args).await
    }
}
