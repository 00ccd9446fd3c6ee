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

impl Batches {
    pub(super) fn new(connection: Connection, keys: &Keys) -> Self {
        Self { connection, meta: keys.of("meta"), state: Mutex::default() }
    }

    /// Adds a job with whatever else is waiting. A caller that goes away takes nothing back.
    pub(super) async fn add(self: &Arc<Self>, job: Checked) -> Result<String, Error> {
        let (answer, answered) = oneshot::channel();
        if self.put(Waiting { job, answer }) {
            tokio::spawn(Arc::clone(self).work_off());
        }
        answered.await.unwrap_or(Err(Error::UnexpectedAnswer("adding was given up with the runtime")))
    }

    /// Whether another lane is needed for it.
    fn put(&self, waiting: Waiting) -> bool {
        let mut state = self.lock();
        state.waiting.push_back(waiting);
        let opens = state.lanes < LANES;
        state.lanes += usize::from(opens);
        opens
    }

    async fn work_off(self: Arc<Self>) {
        while let Some(batch) = self.next_batch() {
            let (jobs, answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.job, one.answer)).unzip();
            let ids = match self.connection.eval(&script::ADD, &self.meta, to_args(jobs)).await {
                Ok(ids) => ids.convert::<Vec<String>>().map_err(Error::from),
                Err(error) => Err(error),
            };
            match ids {
                Ok(ids) => answers.into_iter().zip(ids).for_each(|(answer, id)| drop(answer.send(Ok(id)))),
                Err(error) => answers.into_iter().for_each(|answer| drop(answer.send(Err(error.to_shared())))),
            }
        }
    }

    /// What the next script adds; closes the lane where there is nothing.
    fn next_batch(&self) -> Option<Vec<Waiting>> {
        let mut state = self.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = state.waiting.front() {
            bytes += next.job.bytes;
            if !batch.is_empty() && (batch.len() == MOST_JOBS || bytes > MOST_BYTES) {
                break;
            }
            batch.extend(state.waiting.pop_front());
        }
        if batch.is_empty() {
            state.lanes -= 1;
            return None;
        }
        Some(batch)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
