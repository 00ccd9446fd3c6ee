//! Taking out of a completed job what nobody needs any more, such as the body of a mail.

use fred::types::Value;

use crate::{Error, Queue, script};

impl<T> Queue<T> {
    /// Replaces the data of completed jobs, given with their ids as JSON; jobs in any other state keep theirs, and so do
    /// those that are gone. Gives the ids of those that are not completed yet.
    ///
    /// # Errors
    /// [`Error::Redis`]: it may have been done or not, and can be done again.
    pub async fn wipe(&self, jobs: &[(String, String)]) -> Result<Vec<String>, Error> {
        let args = jobs.iter().flat_map(|(id, data)| [id, data]).map(|text| Value::from(text.as_str())).collect();
        Ok(self.eval(&script::WIPE, args).await?.convert()?)
    }
}
