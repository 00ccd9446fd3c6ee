//! What can be done to jobs from outside.

use std::time::Duration;

use examhall_redis::{Value, convert};

use super::Queue;
use crate::{Error, State, clock::now_ms, script};

/// Jobs that one script looks at.
const STEP: u32 = 500;

/// What becomes of a job's attempts when it is run again by hand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attempts {
    /// Counted on: a job that has spent all of them gets one more run.
    Keep,
    /// Counted anew.
    #[default]
    Reset,
}

/// What was done by going through many jobs, step by step.
struct Step<D> {
    done: D,
    passed_by: u32,
    is_last: bool,
}

impl<T> Queue<T> {
    /// Runs a completed or failed job again, behind its equals and with its priority (in BullMQ 5 it jumps ahead of all
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
    /// queue.remove("guest-9").await?; // unless a worker has it
    /// queue.clean(State::Failed, Duration::from_secs(30 * 24 * 3600), 1000).await?; // older than 30 days
    /// queue.drain(true).await?; // all that wait, and the delayed ones
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongState`], [`Error::Redis`].
    pub async fn retry(&self, id: &str, attempts: Attempts) -> Result<(), Error> {
        let args = vec![id.into(), attempts.to_arg(), now_ms().to_string().into()];
        let place: String = self.eval(&script::RETRY, args).await?;
        match place.as_str() {
            "" => Ok(()),
            place => Err(refusal(id, place, "completed or failed", "retried")),
        }
    }

    /// Runs the jobs again that have failed until now; where `reason_contains` is given, only those whose reason does.
    /// They keep their priorities (in BullMQ they jump ahead of all others). Gives how many there are.
    ///
    /// # Errors
    /// [`Error::Redis`]: some may have been retried then, and asking again goes on with the others.
    pub async fn retry_failed(&self, reason_contains: Option<&str>, attempts: Attempts) -> Result<u64, Error> {
        let (now, mut retried, mut passed_by) = (now_ms().to_string(), 0, 0);
        loop {
            let reason = reason_contains.unwrap_or_default();
            let args = vec![reason.into(), attempts.to_arg(), now.as_str().into(), passed_by.into(), STEP.into()];
            let (done, passed, more): (u64, u32, bool) = self.eval(&script::RETRY_FAILED, args).await?;
            retried += done;
            passed_by += passed;
            if !more {
                return Ok(retried);
            }
        }
    }

    /// Makes a delayed job ready now.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongState`], [`Error::Redis`].
    pub async fn promote(&self, id: &str) -> Result<(), Error> {
        let answer: String = self.eval(&script::PROMOTE, vec![id.into(), 1.into()]).await?;
        match answer.as_str() {
            "1" => Ok(()),
            place => Err(refusal(id, place, "delayed", "promoted")),
        }
    }

    /// Makes all delayed jobs ready now, and gives how many there were.
    ///
    /// # Errors
    /// [`Error::Redis`]: some may have been promoted then.
    pub async fn promote_all(&self) -> Result<u64, Error> {
        let mut promoted = 0;
        loop {
            let answer: String = self.eval(&script::PROMOTE, vec!["".into(), STEP.into()]).await?;
            let done: u64 = answer.parse().unwrap_or_default();
            promoted += done;
            if done < u64::from(STEP) {
                return Ok(promoted);
            }
        }
    }

    /// Removes a job that no worker has, with its log.
    ///
    /// # Errors
    /// [`Error::NotFound`], [`Error::WrongState`] while a worker has it, [`Error::Foreign`], [`Error::Redis`].
    pub async fn remove(&self, id: &str) -> Result<(), Error> {
        match self.eval(&script::REMOVE, vec![id.into()]).await? {
            1 => Ok(()),
            0 => Err(Error::NotFound(id.to_owned())),
            -1 => Err(refusal(id, "active", "not active", "removed")),
            _ => Err(Error::Foreign(id.to_owned())),
        }
    }

    /// Removes up to `limit` jobs of one state that are at least as old as `grace`, counted from when they ended, began or
    /// were added. Jobs in the hands of a worker stay. Gives their ids.
    ///
    /// # Errors
    /// [`Error::Redis`]: some may have been removed then.
    pub async fn clean(&self, state: State, grace: Duration, limit: u32) -> Result<Vec<String>, Error> {
        let before = now_ms().saturating_sub(i64::try_from(grace.as_millis()).unwrap_or(i64::MAX));
        let mut removed = Vec::new();
        for place in state.places() {
            let left = limit.saturating_sub(u32::try_from(removed.len()).unwrap_or(u32::MAX));
            removed.extend(self.clear(place, before, left, true).await?);
        }
        Ok(removed)
    }

    /// Removes all jobs that wait, and the delayed ones too where that is asked. Gives how many there were.
    ///
    /// # Errors
    /// [`Error::Redis`]: some may have been removed then.
    pub async fn drain(&self, delayed_too: bool) -> Result<u64, Error> {
        let mut removed = 0;
        let delayed = delayed_too.then_some("delayed");
        for place in ["wait", "paused", "prioritized"].into_iter().chain(delayed) {
            removed += self.clear(place, i64::MAX, u32::MAX, false).await?.len() as u64;
        }
        Ok(removed)
    }

    async fn clear(&self, place: &str, before: i64, limit: u32, announced: bool) -> Result<Vec<String>, Error> {
        let (mut removed, mut passed_by) = (Vec::new(), 0);
        loop {
            let left = limit.saturating_sub(u32::try_from(removed.len()).unwrap_or(u32::MAX));
            let args: Vec<Value> = vec![
                place.into(),
                before.to_string().into(),
                left.into(),
                passed_by.into(),
                STEP.into(),
                if announced { "1" } else { "0" }.into(),
            ];
            let step: Step<Vec<String>> = to_step(self.eval(&script::CLEAN, args).await?)?;
            removed.extend(step.done);
            passed_by += step.passed_by;
            if step.is_last {
                return Ok(removed);
            }
        }
    }
}

impl Attempts {
    fn to_arg(self) -> Value {
        Value::from_static_str(if self == Self::Reset { "1" } else { "0" })
    }
}

fn to_step(answer: Value) -> Result<Step<Vec<String>>, Error> {
    let Value::Array(parts) = answer else { return Err(Error::UnexpectedAnswer("a step is no list")) };
    let [done, passed_by, more] =
        <[Value; 3]>::try_from(parts).map_err(|_| Error::UnexpectedAnswer("a step has three parts"))?;
    let is_last = !convert::<bool>(more)?;
    Ok(Step { done: convert(done)?, passed_by: convert(passed_by)?, is_last })
}

fn refusal(id: &str, place: &str, wanted: &'static str, done: &'static str) -> Error {
    match State::from_place(place) {
        Some(state) => Error::WrongState { id: id.to_owned(), state, wanted, done },
        None => Error::NotFound(id.to_owned()),
    }
}
