//! Taking out of an ended job what nobody needs any more, such as the body of a mail.

use fred::types::Value;

use crate::{Error, Queue, State, script};

impl<T> Queue<T> {
    /// Replaces the data of completed or of failed jobs, given with their ids as JSON; jobs in any other state keep theirs,
    /// and so do those that are gone. Gives the ids of those that have not ended yet.
    ///
    /// # Errors
    /// [`Error::Redis`]: it may have been done or not, and can be done again.
    pub async fn wipe(&self, state: State, jobs: &[(String, String)]) -> Result<Vec<String>, Error> {
        let jobs = jobs.iter().flat_map(|(id, data)| [id.as_str(), data]);
        let args = [state.as_str()].into_iter().chain(jobs).map(Value::from).collect();
        Ok(self.eval(&script::WIPE, args).await?.convert()?)
    }
}
