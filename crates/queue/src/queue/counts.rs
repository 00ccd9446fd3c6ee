//! Counts jobs.

use super::Queue;
use crate::{Error, State, script};

/// Number of jobs in each state.
/// ```no_run
/// # use examhall_queue::{Error, Queue};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let counts = queue.counts().await?;
/// println!("{} wait, {} run", counts.waiting + counts.prioritized, counts.active);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counts {
    /// Ready, without a priority; those of a paused queue too.
    pub waiting: i64,
    /// Ready, with a priority.
    pub prioritized: i64,
    /// Due later.
    pub delayed: i64,
    /// Waiting for their children.
    pub waiting_children: i64,
    /// Run by workers.
    pub active: i64,
    /// Done and still stored.
    pub completed: i64,
    /// Failed for good and still stored.
    pub failed: i64,
    /// When the earliest delayed job is due, in ms since 1970.
    pub next_due: Option<i64>,
}

impl Counts {
    /// Returns the number of jobs in one state.
    pub fn of(&self, state: State) -> i64 {
        match state {
            State::Waiting => self.waiting,
            State::Prioritized => self.prioritized,
            State::Delayed => self.delayed,
            State::WaitingChildren => self.waiting_children,
            State::Active => self.active,
            State::Completed => self.completed,
            State::Failed => self.failed,
        }
    }

    /// Returns the number of jobs in each state, in the order of [`State::ALL`].
    /// ```
    /// # use examhall_queue::Counts;
    /// fn to_text(counts: &Counts) -> String {
    ///     counts.by_state().map(|(state, count)| format!("{state} {count}\n")).collect()
    /// }
    /// # assert!(to_text(&Counts::default()).starts_with("waiting 0\n"));
    /// ```
    pub fn by_state(&self) -> impl Iterator<Item = (State, i64)> {
        State::ALL.iter().map(|state| (*state, self.of(*state)))
    }

    /// Returns the number of jobs in these states; BullMQ's `getJobCountByTypes`.
    pub fn sum(&self, states: &[State]) -> i64 {
        states.iter().map(|state| self.of(*state)).sum()
    }
}

impl<T> Queue<T> {
    /// Counts the jobs in each state.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn counts(&self) -> Result<Counts, Error> {
        let numbers: Vec<i64> = self.eval(&script::COUNTS, vec![]).await?;
        let [waiting, prioritized, delayed, waiting_children, active, completed, failed, next_due] =
            numbers.try_into().map_err(|_| Error::UnexpectedAnswer("counts are not eight numbers"))?;
        let next_due = Some(next_due).filter(|due| *due > 0);
        Ok(Counts { waiting, prioritized, delayed, waiting_children, active, completed, failed, next_due })
    }

    /// Counts the ready jobs of each of these priorities; 0 is none.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn counts_per_priority(&self, priorities: &[u32]) -> Result<Vec<u64>, Error> {
        self.eval(&script::COUNTS_PER_PRIORITY, priorities.iter().map(|priority| (*priority).into()).collect()).await
    }

    /// Counts the delayed jobs that are due before `time`, in ms since 1970.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn delayed_before(&self, time: i64) -> Result<u64, Error> {
        let first_after = format!("({}", i128::from(time) * 4096);
        self.client.command("ZCOUNT", &self.client.keys().of("delayed"), &["-inf", &first_after]).await
    }
}
