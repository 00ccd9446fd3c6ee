//! Looking at jobs.

use std::collections::HashMap;

use fred::types::ClusterHash;

use super::Queue;
use crate::Error;

impl<T> Queue<T> {
    /// The fields of a job's hash, as text; none where there is no such job.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn raw(&self, id: &str) -> Result<HashMap<String, String>, Error> {
        let answer = self.connection.command("HGETALL", ClusterHash::FirstKey, vec![self.keys.of(id).into()]).await?;
        Ok(answer.convert()?)
    }
}
