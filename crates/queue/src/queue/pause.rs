//! What holds for the whole queue: pause, limits, its end.

use std::time::Duration;

use examhall_redis::{FromValue, Route, Value};

use super::Queue;
use crate::{Error, script};

/// Jobs that one script removes.
const STEP: u32 = 1000;

impl<T> Queue<T> {
    /// Stops all workers of the queue, also those of BullMQ, from taking jobs. What runs goes on.
    ///
    /// Jobs are safe beside clients of BullMQ 5 and beside clients of BullMQ 6. Beside both at once, nobody should pause
    /// or resume with a client of BullMQ 5: it renames over whatever the others have put there.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::Queue;
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// queue.pause().await?;
    /// queue.set_rate_limit(Some((100, Duration::from_secs(1)))).await?; // 100 jobs a second, all workers together
    /// queue.set_global_concurrency(Some(20)).await?; // 20 at once, all workers together
    /// queue.resume().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn pause(&self) -> Result<(), Error> {
        self.eval(&script::PAUSE, vec![]).await
    }

    /// Lets workers take jobs again.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn resume(&self) -> Result<(), Error> {
        self.eval(&script::RESUME, vec![]).await
    }

    /// Whether the queue is paused.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn is_paused(&self) -> Result<bool, Error> {
        self.meta("HEXISTS", &["paused"]).await
    }

    /// Lets all workers of the queue together begin at most `count` jobs in each `period`; without a limit where absent.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn set_rate_limit(&self, limit: Option<(u32, Duration)>) -> Result<(), Error> {
        match limit {
            None => self.meta("HDEL", &["max", "duration"]).await,
            Some((count, period)) => {
                let (max, duration) = (count.to_string(), period.as_millis().to_string());
                self.meta("HSET", &["max", &max, "duration", &duration]).await
            }
        }
    }

    /// Lets all workers of the queue together run at most so many jobs at once; without a limit where absent.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn set_global_concurrency(&self, jobs: Option<u32>) -> Result<(), Error> {
        match jobs {
            None => self.meta("HDEL", &["concurrency"]).await,
            Some(jobs) => self.meta("HSET", &["concurrency", &jobs.to_string()]).await,
        }
    }

    /// Removes the paused queue and all its jobs. While workers have jobs, only where `force` is set; those workers then
    /// lose them.
    /// ```no_run
    /// # async fn run(queue: examhall_queue::Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// queue.pause().await?;
    /// queue.obliterate(false).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotIdle`]; [`Error::Redis`]: some may have been removed then.
    pub async fn obliterate(&self, force: bool) -> Result<(), Error> {
        loop {
            let args = vec![STEP.into(), if force { "1" } else { "0" }.into()];
            match self.eval(&script::OBLITERATE, args).await? {
                0 => return Ok(()),
                -1 => return Err(Error::NotIdle("pause the queue before you obliterate it")),
                -2 => return Err(Error::NotIdle("workers have jobs of the queue: wait for them, or use force")),
                _ => {}
            }
        }
    }

    async fn meta<R: FromValue>(&self, command: &'static str, words: &[&str]) -> Result<R, Error> {
        let key = self.keys.of("meta");
        let args =
            std::iter::once(Value::from(key.as_str())).chain(words.iter().map(|word| Value::from(*word))).collect();
        Ok(self.connection.command(command, Route::Key(&key), args).await?)
    }
}
