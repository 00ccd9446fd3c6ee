//! Pauses and obliterates the whole queue.

use super::Queue;
use crate::{Error, code::Code, script};

/// Jobs that one script removes or moves.
const STEP: u32 = 1000;

impl<T> Queue<T> {
    /// Stops all workers of the queue, also those of BullMQ, from taking jobs. Running jobs continue.
    ///
    /// Jobs are safe with clients of BullMQ 5 or of BullMQ 6. With both at once, do not pause or resume with a client of
    /// BullMQ 5: it overwrites the list that the others use.
    /// ```no_run
    /// # async fn run(queue: examhall_queue::Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// queue.pause().await?;
    /// queue.resume().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn pause(&self) -> Result<(), Error> {
        let mut first = "1";
        while Code::try_from(self.eval::<i64>(&script::PAUSE, vec![STEP.into(), first.into()]).await?)? == Code::More {
            first = "0";
        }
        Ok(())
    }

    /// Lets workers take jobs again.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn resume(&self) -> Result<(), Error> {
        while Code::try_from(self.eval::<i64>(&script::RESUME, vec![STEP.into()]).await?)? == Code::More {}
        Ok(())
    }

    /// Returns whether the queue is paused.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn is_paused(&self) -> Result<bool, Error> {
        self.client.meta("HEXISTS", &["paused"]).await
    }

    /// Removes the paused queue and all its jobs. `force` removes jobs that workers run, too; those workers lose them.
    /// ```no_run
    /// # async fn run(queue: examhall_queue::Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// queue.pause().await?;
    /// queue.obliterate(false).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::NotIdle`] if the queue is not paused or has active jobs, or [`Error::Redis`]: then some jobs may
    /// have been removed.
    pub async fn obliterate(&self, force: bool) -> Result<(), Error> {
        loop {
            let args = vec![STEP.into(), if force { "1" } else { "0" }.into()];
            match Code::try_from(self.eval::<i64>(&script::OBLITERATE, args).await?)? {
                Code::More => {}
                Code::NotPaused => return Err(Error::NotIdle("pause the queue before you obliterate it")),
                Code::NotIdle => {
                    return Err(Error::NotIdle("workers have jobs of the queue: wait for them, or use force"));
                }
                _ => return Ok(()),
            }
        }
    }
}
