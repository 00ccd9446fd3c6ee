//! Changes jobs that stay in their state: data, delay, priority, progress and log.

use std::time::Duration;

use serde::Serialize;

use super::{Queue, actions::Change};
use crate::{
    Error, JobId,
    clock::millis,
    notes,
    options::{check_due, check_priority},
    script,
};

static CHANGE_DELAY: Change = Change { script: &script::CHANGE_DELAY, wanted: "delayed", done: "given another delay" };

/// Place of a job among those of its priority.
/// ```no_run
/// # use examhall_queue::{Error, Queue, Among};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// queue.change_priority("guest-7", 1, Among::First).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Among {
    /// It runs after them.
    #[default]
    Last,
    /// It runs before them; BullMQ's `lifo`.
    First,
}

impl<T> Queue<T> {
    /// Replaces a job's data in any state. A run in progress keeps the data that it was given.
    ///
    /// # Errors
    /// Returns [`Error::Payload`] if the data cannot be written as JSON, [`Error::NotFound`] if there is no such job, or
    /// [`Error::Redis`].
    pub async fn update_data(&self, id: &str, data: &T) -> Result<(), Error>
    where
        T: Serialize,
    {
        JobId::new(id)?;
        notes::update_data(&self.client, id, data).await
    }

    /// Makes a delayed job due after `delay` from now.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{Among, Queue};
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// queue.change_delay("guest-7", Duration::from_secs(600)).await?;
    /// queue.change_priority("guest-8", 1, Among::First).await?; // the next to run
    /// queue.update_data("guest-8", &serde_json::json!({"to": "Ada"})).await?;
    /// queue.set_progress("guest-8", &50).await?;
    /// queue.clear_logs("guest-8", 10).await?; // but for the last ten lines
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if there is no such job, [`Error::WrongState`] if it is not delayed, or
    /// [`Error::Redis`].
    pub async fn change_delay(&self, id: &str, delay: Duration) -> Result<(), Error> {
        let delay = millis(delay);
        let due = self.client.now().await.saturating_add_unsigned(delay);
        check_due("delay", due)?;
        let args = vec![id.into(), delay.to_string().into(), due.to_string().into()];
        self.change(&CHANGE_DELAY, id, args).await
    }

    /// Changes a job's priority: 1 goes first, 0 is none. A job that is ready moves among its new equals; one in another
    /// state has the priority when it is ready the next time.
    ///
    /// # Errors
    /// Returns [`Error::BadPriority`] if it is above [`JobOptions::MAX_PRIORITY`](crate::JobOptions::MAX_PRIORITY),
    /// [`Error::NotFound`] if there is no such
    /// job, or [`Error::Redis`].
    pub async fn change_priority(&self, id: &str, priority: u32, among: Among) -> Result<(), Error> {
        check_priority(priority)?;
        JobId::new(id)?;
        let first = if among == Among::First { "1" } else { "0" };
        notes::found(id, self.eval(&script::CHANGE_PRIORITY, vec![id.into(), priority.into(), first.into()]).await?)
    }

    /// Stores a job's progress, any JSON, and writes an event.
    ///
    /// # Errors
    /// Returns [`Error::Payload`] if it cannot be written as JSON, [`Error::NotFound`] if there is no such job, or
    /// [`Error::Redis`].
    pub async fn set_progress<P: Serialize + Sync + ?Sized>(&self, id: &str, progress: &P) -> Result<(), Error> {
        JobId::new(id)?;
        notes::set_progress(&self.client, id, &notes::to_json(progress)?).await
    }

    /// Adds a line to a job's log, of which the newest `keep` lines are kept (all, if absent), and returns the number of
    /// lines.
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if there is no such job, or [`Error::Redis`].
    pub async fn add_log(&self, id: &str, line: &str, keep: Option<u32>) -> Result<u64, Error> {
        JobId::new(id)?;
        notes::log(&self.client, id, line, keep.unwrap_or_default()).await
    }

    /// Removes a job's log lines, but for the newest `keep`.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn clear_logs(&self, id: &str, keep: u32) -> Result<(), Error> {
        JobId::new(id)?;
        let key = self.client.keys().of(id) + ":logs";
        match keep {
            0 => self.client.command("DEL", &key, &[]).await,
            keep => self.client.command("LTRIM", &key, &[&format!("-{keep}"), "-1"]).await,
        }
    }
}
