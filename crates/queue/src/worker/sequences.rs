//! A worker without its loop: one turn at a time, as the test of sequences needs it.

use std::time::Duration;

use super::{
    exchange::{Taking, exchange},
    identity::Identity,
    report::{Held, Run},
};
use crate::{Error, Outcome, Queue, clock::now_ms, job::TakenJob};

/// A job that such a worker has.
#[derive(Clone)]
pub(crate) struct Hand(std::sync::Arc<TakenJob>);

pub(crate) struct Turns {
    identity: Identity,
    exchanges: u64,
}

impl Turns {
    pub(crate) fn new() -> Self {
        Self { identity: Identity::new(), exchanges: 0 }
    }

    /// Reports what `ended` and takes up to `wanted` jobs.
    pub(crate) async fn take<T>(
        &mut self,
        queue: &Queue<T>,
        ended: Vec<(Hand, Outcome)>,
        wanted: usize,
    ) -> Result<Vec<Hand>, Error> {
        let reports: Vec<_> = ended
            .into_iter()
            .map(|(Hand(job), outcome)| {
                Held::new(&job, job.options().unwrap_or_default()).conclude(Run::Ended(outcome), now_ms(), 0.0)
            })
            .collect();
        let taking = Taking {
            wanted,
            lock: Duration::from_mins(1),
            worker_name: "",
            token: &self.identity.token(0, self.exchanges),
        };
        let turn = exchange(queue, &reports, &taking).await?;
        self.exchanges += 1;
        Ok(turn.taken.into_iter().map(|job| Hand(std::sync::Arc::new(job))).collect())
    }
}
