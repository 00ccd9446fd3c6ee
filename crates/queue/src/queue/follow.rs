//! Follows jobs: events, and waiting for the end of a job.

use std::{pin::pin, time::Duration};

use tokio::time::{Instant, timeout_at};

use super::{JobRecord, Queue};
use crate::{
    Error, JobId, State,
    events::{Events, Position},
};

/// How often a waiter reads the job itself: its event may be trimmed before it is read.
const RECHECK: Duration = Duration::from_secs(5);

impl<T> Queue<T> {
    /// Reads the queue's events after `from`, over a connection of their own.
    /// ```no_run
    /// # use examhall_queue::{Event, Position, Queue};
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// let mut events = queue.events(Position::Now).await?;
    /// while let (_, event) = events.next().await
    ///     && event != Event::Drained
    /// {
    ///     println!("{event:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn events(&self, from: Position) -> Result<Events, Error> {
        Events::open(self.client(), from).await
    }

    /// Waits until a job has completed or failed, and returns it. All calls on clones of a queue share one connection.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::Queue;
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// let job = queue.wait_for_end("guest-7", Duration::from_secs(30)).await?;
    /// println!("{} with {:?}", job.state, job.returnvalue);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if there is no such job, or it was removed when it ended, [`Error::NotEnded`] after
    /// `timeout`, or [`Error::Redis`].
    pub async fn wait_for_end(&self, id: &str, timeout: Duration) -> Result<JobRecord, Error> {
        JobId::new(id)?;
        let now = Instant::now();
        let deadline = now.checked_add(timeout).unwrap_or_else(|| now + Duration::from_secs(365 * 24 * 3600));
        let waiter = self.waiters.add(id);
        loop {
            let mut ended = pin!(waiter.ended());
            ended.as_mut().enable();
            let job = self.get(id).await?.ok_or_else(|| Error::NotFound(id.to_owned()))?;
            if matches!(job.state, State::Completed | State::Failed) {
                return Ok(job);
            }
            if Instant::now() >= deadline {
                return Err(Error::NotEnded(id.to_owned()));
            }
            let _ = timeout_at(deadline.min(Instant::now() + RECHECK), ended).await;
        }
    }
}
