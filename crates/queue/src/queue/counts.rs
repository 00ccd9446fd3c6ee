//! How many jobs there are.

use super::Queue;
use crate::{Error, script};

/// How many jobs there are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ready, without a priority; those of a paused queue too.
    pub waiting: i64,
    /// Ready, with a priority.
    pub prioritized: i64,
    /// To be run later.
    pub delayed: i64,
    /// In the hands of workers.
    pub active: i64,
    /// Done, and still kept.
    pub completed: i64,
    /// Failed for good, and still kept.
    pub failed: i64,
    /// When the earliest delayed job is due, in ms since 1970.
    pub next_due: Option<i64>,
}

impl<T> Queue<T> {
    /// How many jobs there are in each state.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn counts(&self) -> Result<Counts, Error> {
        let numbers: Vec<i64> = self.eval(&script::COUNTS, vec![]).await?;
        let [waiting, prioritized, delayed, active, completed, failed, next_due] =
            numbers.try_into().map_err(|_| Error::UnexpectedAnswer("counts gives seven numbers"))?;
        let next_due = Some(next_due).filter(|due| *due > 0);
        Ok(Counts { waiting, prioritized, delayed, active, completed, failed, next_due })
    }
}
