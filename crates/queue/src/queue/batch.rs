//! Adds of several callers at the same time, in as few scripts as possible.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::sync::oneshot;

use super::add::{Checked, MOST_BYTES, MOST_JOBS, to_args};
use crate::{Connection, Error, keys::Keys, script};

/// Scripts on their way at the same time: while Redis runs one, the next is filled.
const LANES: usize = 2;

/// Gathers what is added while earlier adds are on their way.
pub(super) struct Batches {
    connection: Connection,
    meta: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Waiting>,
    lanes: usize,
}

struct Waiting {
    job: Checked,
    answer: oneshot::Sender<Result<String, Error>>,
}

/// One of the [`LANES`]; when it ends, what has gathered meanwhile is worked off.
struct Lane(Arc<Batches>);

impl Batches {
    pub(super) fn new(connection: Connection, keys: &Keys) -> Self {
        Self { connection, meta: keys.of("meta"), state: Mutex::default() }
    }

    /// Adds a job: at once where nothing is on its way, else with whatever else is waiting. A caller that goes away takes
    /// nothing of others with it.
    pub(super) async fn add(self: &Arc<Self>, job: Checked) -> Result<String, Error> {
        if let Some(_lane) = self.only_lane() {
            let ids = self.eval(vec![job]).await?;
            return ids.into_iter().next().ok_or(Error::UnexpectedAnswer("add gave no id"));
        }
        let (answer, answered) = oneshot::channel();
        if let Some(lane) = self.put(Waiting { job, answer }) {
            tokio::spawn(lane.work_off());
        }
        answered.await.unwrap_or(Err(Error::UnexpectedAnswer("adding was given up with the runtime")))
    }

    /// A lane for a caller that is alone.
    fn only_lane(self: &Arc<Self>) -> Option<Lane> {
        let mut state = self.lock();
        (state.lanes == 0).then(|| {
            state.lanes = 1;
            Lane(Arc::clone(self))
        })
    }

    /// Lets a job wait, and gives a lane where one more is needed.
    fn put(self: &Arc<Self>, waiting: Waiting) -> Option<Lane> {
        let mut state = self.lock();
        state.waiting.push_back(waiting);
        (state.lanes < LANES).then(|| {
            state.lanes += 1;
            Lane(Arc::clone(self))
        })
    }

    async fn eval(&self, jobs: Vec<Checked>) -> Result<Vec<String>, Error> {
        Ok(self.connection.eval(&script::ADD, &[&self.meta], to_args(jobs)).await?)
    }

    /// What the next script adds; nothing where nothing waits.
    fn next_batch(&self) -> Vec<Waiting> {
        let mut state = self.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = state.waiting.front() {
            bytes += next.job.bytes;
            if !batch.is_empty() && (batch.len() == MOST_JOBS || bytes > MOST_BYTES) {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        batch
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lane {
    async fn work_off(self) {
        loop {
            let batch = self.0.next_batch();
            if batch.is_empty() {
                return;
            }
            let (jobs, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.job, one.answer)).unzip();
            match self.0.eval(jobs).await {
                Ok(ids) => answers.into_iter().zip(ids).for_each(|(answer, id)| drop(answer.send(Ok(id)))),
                Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.to_shared())))),
            }
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        if state.waiting.is_empty() {
            state.lanes -= 1;
        } else if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn(Self(Arc::clone(&self.0)).work_off());
        }
    }
}
