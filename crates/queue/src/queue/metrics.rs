//! How many jobs have ended per minute.

use super::Queue;
use crate::{EndedState, Error, script};

/// Numbers of jobs that have ended, as workers with `metrics` have counted them, BullMQ's too.
/// ```no_run
/// # use examhall_queue::{Error, Queue, EndedState};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let metrics = queue.metrics(EndedState::Failed, 0, 59).await?;
/// println!("{} failed, in the last hour {:?}", metrics.count, metrics.per_minute);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metrics {
    /// All jobs.
    pub count: u64,
    /// When the last minute was added, in ms since 1970; 0 if no job has ended.
    pub previous_time: i64,
    /// Number of all jobs by then.
    pub previous_count: u64,
    /// Number of jobs of each minute, the newest first.
    pub per_minute: Vec<i64>,
    /// Number of minutes that are stored.
    pub minutes: u64,
}

impl<T> Queue<T> {
    /// Reads how many jobs have ended in one state per minute, from the minute `first` (0 is the newest) to `last` (-1 is
    /// the oldest).
    /// ```no_run
    /// # use examhall_queue::{EndedState, Queue};
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// let failed = queue.metrics(EndedState::Failed, 0, 59).await?;
    /// println!("{} in the last hour, {} in all", failed.per_minute.iter().sum::<i64>(), failed.count);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn metrics(&self, state: EndedState, first: i64, last: i64) -> Result<Metrics, Error> {
        let args = vec![state.as_str().into(), first.to_string().into(), last.to_string().into()];
        let (count, previous_time, previous_count, per_minute, minutes) = self.eval(&script::METRICS, args).await?;
        Ok(Metrics { count, previous_time, previous_count, per_minute, minutes })
    }
}
