//! Retries, promotes and removes jobs.

use std::time::Duration;

use examhall_redis::{FromValue, Script, Value, convert};

use super::Queue;
use crate::{EndedState, Error, JobId, State, client::texts, clock::millis, code::Code, script};

/// Number of jobs that one script reads.
const STEP: u32 = 500;
/// Largest number of jobs that one script reads for a caller.
const MOST_JOBS: u32 = 5000;

/// What happens to a job's attempts when it is retried by hand.
/// ```no_run
/// # use examhall_queue::{Error, Queue, Attempts};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// queue.retry("guest-7", Attempts::Reset).await?; // as if it had never run
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Attempts {
    /// They are kept: a job that has used all of them gets one more run.
    Keep,
    /// They are counted from 0 again.
    #[default]
    Reset,
}

/// Which ended jobs [`Queue::retry_jobs`] runs again; by default those that have failed until now.
/// ```no_run
/// # use examhall_queue::{Error, Queue, RetryJobs};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// queue.retry_jobs(&RetryJobs::default().reason_contains("connection refused")).await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryJobs {
    /// Their state.
    pub state: EndedState,
    /// Text that the reason of a failed job must contain.
    pub reason_contains: Option<String>,
    /// What happens to their attempts. BullMQ keeps them.
    pub attempts: Attempts,
    /// Only jobs that ended until then, in ms since 1970; now if absent.
    pub until: Option<i64>,
    /// Number of jobs per script, at most 5,000; BullMQ's `count`.
    pub step: u32,
}

impl Default for RetryJobs {
    fn default() -> Self {
        let (state, attempts) = (EndedState::Failed, Attempts::Keep);
        Self { state, reason_contains: None, attempts, until: None, step: STEP }
    }
}

impl RetryJobs {
    /// Sets their state.
    #[must_use]
    pub fn state(mut self, state: EndedState) -> Self {
        self.state = state;
        self
    }

    /// Sets text that the reason of a failed job must contain.
    #[must_use]
    pub fn reason_contains(mut self, text: impl Into<String>) -> Self {
        self.reason_contains = Some(text.into());
        self
    }

    /// Sets what happens to their attempts.
    #[must_use]
    pub fn attempts(mut self, attempts: Attempts) -> Self {
        self.attempts = attempts;
        self
    }

    /// Sets when they have ended at the latest, in ms since 1970.
    #[must_use]
    pub fn until(mut self, until: i64) -> Self {
        self.until = Some(until);
        self
    }

    /// Sets the number of jobs per script.
    #[must_use]
    pub fn step(mut self, jobs: u32) -> Self {
        self.step = jobs;
        self
    }
}

/// A change of one job, as errors name it.
pub(super) struct Change {
    pub(super) script: &'static Script,
    pub(super) wanted: &'static str,
    pub(super) done: &'static str,
}

static RETRY: Change = Change { script: &script::RETRY, wanted: "completed or failed", done: "retried" };
static PROMOTE: Change = Change { script: &script::PROMOTE, wanted: "delayed", done: "promoted" };
static REMOVE: Change = Change { script: &script::REMOVE, wanted: "not active", done: "removed" };

/// Result of a script that goes through many jobs in steps.
struct Step<D> {
    done: D,
    skipped: u32,
    is_last: bool,
}

/// Jobs to remove, as `clean.lua` takes them.
struct Removal<'a> {
    place: &'a str,
    /// Jobs are old up to this time, in ms since 1970.
    before: i64,
    limit: usize,
    /// Number of jobs that the call has removed from other keys, if the last step writes an event.
    removed: Option<usize>,
}

impl<T> Queue<T> {
    /// Runs a completed or failed job again, behind its equals and with its priority (BullMQ 5 puts it ahead of all
    /// others).
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{Attempts, Error, Queue, State};
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
    /// match queue.retry("guest-7", Attempts::Keep).await {
    ///     Ok(()) => println!("it has one more run"),
    ///     Err(Error::WrongState { state, .. }) => println!("it is {state}"),
    ///     Err(error) => return Err(error),
    /// }
    /// queue.promote("guest-8").await?; // delayed: ready now
    /// queue.promote_all().await?;
    /// queue.remove("guest-9").await?; // unless it is active
    /// queue.clean(State::Failed, Duration::from_secs(30 * 24 * 3600), 1000).await?; // older than 30 days
    /// queue.drain(true).await?; // all waiting jobs, and the delayed ones
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if there is no such job, [`Error::WrongState`] if it has not ended, or
    /// [`Error::Redis`].
    pub async fn retry(&self, id: &str, attempts: Attempts) -> Result<(), Error> {
        self.change(&RETRY, id, vec![id.into(), attempts.to_arg(), self.client.now().await.to_string().into()]).await
    }

    /// Runs the jobs again that have failed until now, or only those whose reason contains `reason_contains`, and returns
    /// their number. They keep their priorities (BullMQ puts them ahead of all others).
    ///
    /// # Errors
    /// Returns [`Error::Redis`]: some jobs may have been retried then, and another call continues with the others.
    pub async fn retry_failed(&self, reason_contains: Option<&str>, attempts: Attempts) -> Result<u64, Error> {
        let reason_contains = reason_contains.map(ToOwned::to_owned);
        self.retry_jobs(&RetryJobs { reason_contains, attempts, ..RetryJobs::default() }).await
    }

    /// Runs completed or failed jobs again, and returns their number; BullMQ's `retryJobs`. They keep their priorities.
    ///
    /// # Errors
    /// Returns [`Error::Redis`]: some jobs may have been retried then, and another call continues with the others.
    pub async fn retry_jobs(&self, which: &RetryJobs) -> Result<u64, Error> {
        let RetryJobs { state, reason_contains, attempts, until, step } = which;
        let reason = reason_contains.as_deref().filter(|_| *state == EndedState::Failed).unwrap_or_default();
        let now = self.client.now().await;
        // Jobs that are retried and end again during the call are not retried a second time.
        let until = until.unwrap_or(now).min(now).to_string();
        let (mut retried, mut skipped) = (0, 0);
        loop {
            let args = vec![
                state.as_str().into(),
                reason.into(),
                attempts.to_arg(),
                until.as_str().into(),
                now.to_string().into(),
                skipped.into(),
                (*step).clamp(1, MOST_JOBS).into(),
            ];
            let step: Step<u64> = self.step(&script::RETRY_JOBS, args).await?;
            retried += step.done;
            skipped += step.skipped;
            if step.is_last {
                return Ok(retried);
            }
        }
    }

    /// Makes a delayed job ready now.
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if there is no such job, [`Error::WrongState`] if it is not delayed, or
    /// [`Error::Redis`].
    pub async fn promote(&self, id: &str) -> Result<(), Error> {
        self.change(&PROMOTE, id, vec![id.into()]).await
    }

    /// Makes all delayed jobs ready now, and returns their number.
    ///
    /// # Errors
    /// Returns [`Error::Redis`]: some jobs may have been promoted then.
    pub async fn promote_all(&self) -> Result<u64, Error> {
        let mut promoted = 0;
        loop {
            let step: Step<u64> = self.step(&script::PROMOTE_ALL, vec![STEP.into()]).await?;
            promoted += step.done;
            if step.is_last {
                return Ok(promoted);
            }
        }
    }

    /// Removes a job that is not active, with its log and its children. A parent that waited for no other child is ready.
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if there is no such job, [`Error::WrongState`] if it is active,
    /// [`Error::ActiveChild`] if a child is, [`Error::Foreign`] if it is the next job of a scheduler, or
    /// [`Error::Redis`].
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        self.change(&REMOVE, id, vec![id.into()]).await
    }

    /// Removes up to `limit` jobs of one state that ended, started or were added at least `grace` ago, and returns their
    /// ids. Active jobs whose worker has their lock stay.
    ///
    /// # Errors
    /// Returns [`Error::Redis`]: some jobs may have been removed then.
    pub async fn clean(&self, state: State, grace: Duration, limit: u32) -> Result<Vec<String>, Error> {
        let before = self.client.now().await.saturating_sub_unsigned(millis(grace));
        let mut removed = Vec::new();
        let places = state.places();
        for (at, place) in places.iter().enumerate() {
            let limit = (limit as usize).saturating_sub(removed.len());
            let before_it = (at + 1 == places.len()).then_some(removed.len());
            removed.extend(self.clear(Removal { place, before, limit, removed: before_it }).await?);
        }
        Ok(removed)
    }

    /// Removes all waiting jobs, and the delayed ones if `delayed_too`, and returns their number.
    ///
    /// # Errors
    /// Returns [`Error::Redis`]: some jobs may have been removed then.
    pub async fn drain(&self, delayed_too: bool) -> Result<u64, Error> {
        let mut removed = 0;
        let delayed = delayed_too.then_some("delayed");
        for place in ["wait", "paused", "prioritized"].into_iter().chain(delayed) {
            let all = Removal { place, before: i64::MAX, limit: u32::MAX as usize, removed: None };
            removed += self.clear(all).await?.len() as u64;
        }
        Ok(removed)
    }

    async fn clear(&self, jobs: Removal<'_>) -> Result<Vec<String>, Error> {
        let (mut removed, mut skipped) = (Vec::new(), 0);
        loop {
            let left = jobs.limit.saturating_sub(removed.len());
            let args: Vec<Value> = vec![
                jobs.place.into(),
                jobs.before.to_string().into(),
                left.to_string().into(),
                skipped.into(),
                STEP.into(),
                jobs.removed.map_or_else(String::new, |before| (before + removed.len()).to_string()).into(),
            ];
            let step: Step<Value> = self.step(&script::CLEAN, args).await?;
            removed.extend(texts(step.done));
            skipped += step.skipped;
            if step.is_last {
                return Ok(removed);
            }
        }
    }

    pub(super) async fn change(&self, change: &Change, id: &str, args: Vec<Value>) -> Result<(), Error> {
        JobId::new(id)?;
        let (code, place): (i64, String) = self.eval(change.script, args).await?;
        match (Code::try_from(code)?, State::from_place(&place)) {
            (Code::Done, _) => Ok(()),
            (Code::Foreign, _) => Err(Error::Foreign(id.to_owned())),
            (Code::PendingChildren, _) => Err(Error::ActiveChild(id.to_owned())),
            (_, Some(state)) => {
                Err(Error::WrongState { id: id.to_owned(), state, wanted: change.wanted, done: change.done })
            }
            (_, None) => Err(Error::NotFound(id.to_owned())),
        }
    }

    async fn step<D: FromValue>(&self, script: &'static Script, args: Vec<Value>) -> Result<Step<D>, Error> {
        let (done, skipped, has_more): (Value, u32, bool) = self.eval(script, args).await?;
        Ok(Step { done: convert(done)?, skipped, is_last: !has_more })
    }
}

impl Attempts {
    fn to_arg(self) -> Value {
        Value::from_static_str(if self == Self::Reset { "1" } else { "0" })
    }
}
