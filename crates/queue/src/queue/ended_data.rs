//! Replaces the data of ended jobs, such as personal data that is no longer needed.

use examhall_redis::Value;

use super::Queue;
use crate::{Error, State, script};

impl<T> Queue<T> {
    /// Replaces the data of completed or failed jobs, given as pairs of id and JSON; jobs in other states keep theirs, and
    /// ids without a job are ignored. Returns the ids of jobs that have not ended yet.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails: data may have been replaced or not, and the call can be repeated.
    pub async fn replace_ended_data(&self, state: State, jobs: &[(String, String)]) -> Result<Vec<String>, Error> {
        let jobs = jobs.iter().flat_map(|(id, data)| [id.as_str(), data]);
        let args = [state.as_str()].into_iter().chain(jobs).map(Value::from).collect();
        self.eval(&script::REPLACE_DATA, args).await
    }
}
