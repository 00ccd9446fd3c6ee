//! Counts jobs.

use super::Queue;
use crate::{Error, script};

/// Number of jobs in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Ready, without a priority; those of a paused queue too.
    pub waiting: i64,
    /// Ready, with a priority.
    pub prioritized: i64,
    /// Due later.
    pub delayed: i64,
    /// Run by workers.
    pub active: i64,
    /// Done and still stored.
    pub completed: i64,
    /// Failed for good and still stored.
    pub failed: i64,
    /// When the earliest delayed job is due, in ms since 1970.
    pub next_due: Option<i64>,
}

impl<T> Queue<T> {
    /// Counts the jobs in each state.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let numbers: Vec<i64> = self.eval(&script::COUNTS, vec![]).await?;
        let [waiting, prioritized, delayed, active, completed, failed, next_due] =
            numbers.try_into().map_err(|_| Error::UnexpectedAnswer("counts are not seven numbers"))?;
        let next_due = Some(next_due).filter(|due| *due > 0);
        Ok(Counts { waiting, prioritized, delayed, active, completed, failed, next_due })
    }
}
