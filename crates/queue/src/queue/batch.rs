//! Batches concurrent adds, so that callers share scripts.

use std::{collections::VecDeque, sync::Arc};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::add::{Checked, NotAdded, add, fits};
use crate::{Error, client::Client};

/// Scripts in flight at the same time: while Redis runs one, the next batch fills.
const LANES: usize = 2;

/// Collects adds while earlier ones are in flight.
pub(super) struct Batches {
    client: Client,
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

impl AsRef<Checked> for Waiting {
    fn as_ref(&self) -> &Checked {
        &self.job
    }
}

/// One of the [`LANES`]; when it ends, the jobs that wait are added.
struct Lane(Arc<Batches>);

impl Batches {
    pub(super) fn new(client: Client) -> Self {
        Self { client, state: Mutex::default() }
    }

    /// Adds a job: at once if no script is in flight, else with the others that wait. A cancelled call cancels no other.
    pub(super) async fn add(self: &Arc<Self>, job: Checked) -> Result<String, Error> {
        if let Some(_lane) = self.only_lane() {
            let ids = self.eval(&[job]).await.map_err(|not_added| not_added.error)?;
            return ids.into_iter().next().ok_or(Error::UnexpectedAnswer("no id of an added job"));
        }
        let (answer, answered) = oneshot::channel();
        if let Some(lane) = self.enqueue(Waiting { job, answer }) {
            tokio::spawn(lane.run());
        }
        answered.await.unwrap_or(Err(Error::UnexpectedAnswer("the runtime ended during an add")))
    }

    /// Returns a lane for a caller that is alone.
    fn only_lane(self: &Arc<Self>) -> Option<Lane> {
        let mut state = self.lock();
        (state.lanes == 0).then(|| {
            state.lanes = 1;
            Lane(Arc::clone(self))
        })
    }

    /// Enqueues a job, and returns a lane if another one is needed.
    fn enqueue(self: &Arc<Self>, waiting: Waiting) -> Option<Lane> {
        let mut state = self.lock();
        state.waiting.push_back(waiting);
        (state.lanes < LANES).then(|| {
            state.lanes += 1;
            Lane(Arc::clone(self))
        })
    }

    async fn eval(&self, jobs: &[Checked]) -> Result<Vec<String>, NotAdded> {
        add(&self.client, jobs).await
    }

    /// Takes the jobs that the next script adds.
    fn next_batch(&self) -> Vec<Waiting> {
        let mut state = self.lock();
        let (mut batch, mut bytes) = (Vec::new(), 0);
        while let Some(next) = state.waiting.front().filter(|next| fits(&batch, bytes, &next.job)) {
            bytes += next.job.bytes;
            batch.extend(state.waiting.pop_front());
        }
        batch
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Lane {
    async fn run(self) {
        loop {
            let batch = self.0.next_batch();
            if batch.is_empty() {
                return;
            }
            let (mut jobs, mut answers): (Vec<_>, Vec<_>) = batch.into_iter().map(|one| (one.job, one.answer)).unzip();
            while !jobs.is_empty() {
                match self.0.eval(&jobs).await {
                    Ok(ids) => {
                        answers.drain(..).zip(ids).for_each(|(answer, id)| drop(answer.send(Ok(id))));
                        break;
                    }
                    // The job of one caller does not prevent those of others.
                    Err(NotAdded { error, culprit: Some(culprit) }) if culprit < jobs.len() => {
                        jobs.remove(culprit);
                        drop(answers.remove(culprit).send(Err(error)));
                    }
                    Err(NotAdded { error, .. }) => {
                        answers.drain(..).for_each(|answer| drop(answer.send(Err(error.to_shared()))));
                        break;
                    }
                }
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
            runtime.spawn(Self(Arc::clone(&self.0)).run());
        }
    }
}
