//! A worker without its loop: one poll at a time, for the test of sequences.

use std::{sync::Arc, time::Duration};

use super::{
    identity::Identity,
    poll::{poll, reclaim},
    report::{Rules, Run, RunningJob},
};
use crate::{Backoffs, Error, Outcome, Queue, WorkerOptions, job::TakenJob};

pub(crate) struct Poller {
    identity: Identity,
    polls: u64,
}

impl Poller {
    pub(crate) fn new() -> Self {
        Self { identity: Identity::new(), polls: 0 }
    }

    /// Reports the `ended` runs and takes up to `wanted` jobs.
    pub(crate) async fn poll<T>(
        &mut self,
        queue: &Queue<T>,
        ended: Option<(Arc<TakenJob>, Outcome)>,
        wanted: usize,
    ) -> Result<impl Iterator<Item = Arc<TakenJob>> + use<T>, Error> {
        let report = ended.map(|(job, outcome)| {
            let rules = Rules { backoffs: &Backoffs::NONE, max_started_attempts: None };
            RunningJob::new(&job, job.options().unwrap_or_default()).conclude(
                Run::Ended(outcome),
                rules,
                queue.client().now_ms(),
                0.0,
            )
        });
        let token = &self.identity.token(0, self.polls);
        let options = WorkerOptions::default().lock(Duration::from_secs(60));
        let received = poll(queue.client(), report.as_slice(), &options.taking(wanted, token)).await?;
        self.polls += 1;
        Ok(received.taken.into_iter().map(Arc::new))
    }

    /// Reclaims jobs that it has locked, other than the `known` ones. Returns also whether there are more.
    pub(crate) async fn reclaim<T>(
        &self,
        queue: &Queue<T>,
        known: &[Arc<TakenJob>],
    ) -> Result<(Vec<TakenJob>, bool), Error> {
        let known = known.iter().map(|job| job.id.as_str());
        reclaim(queue.client(), self.identity.uuid(), Duration::from_secs(60), known).await
    }
}
