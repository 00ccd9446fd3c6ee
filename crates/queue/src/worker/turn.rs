//! One turn of a worker: what ended is reported, and new jobs are taken and started.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use tokio::task::{Id, JoinError};

use super::{
    Handler, Worker,
    exchange::{Taking, Turn, adopt, exchange},
    report::{Ending, Held, Report, Run},
};
use crate::{
    Claim, Error, Failure, Outcome,
    clock::now_ms,
    job::{TakenJob, Unfit},
};

/// Most jobs that one script reports, and most that it takes.
const MOST: usize = 1000;
/// How long jobs are looked for that were taken by a turn whose answer was lost: its script may still run.
const DOUBT: Duration = Duration::from_secs(5);
/// How often.
const DOUBT_STEP: Duration = Duration::from_millis(500);

/// When to take a turn again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// At once: there is more to take or to report.
    Now,
    /// When something happens, or then at the latest (ms since 1970).
    Wait { until: Option<i64>, asked_at: i64, is_limited: bool },
    /// Redis is away: after a while.
    Retry,
}

impl<T, H> Worker<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    /// Reports what ended and takes up to `wanted` jobs.
    pub(super) async fn turn(&mut self, wanted: usize) -> Next {
        let wanted = wanted.min(MOST);
        let turn = match self.adopt_lost().await {
            Ok(()) => self.exchange(wanted).await,
            Err(error) => Err(error),
        };
        match turn {
            Ok(turn) => self.note(turn, wanted),
            Err(error) => {
                tracing::warn!(%error, "Queue not reached");
                // The script may have run: jobs may be this worker's, and reports may be known.
                self.tokens += wanted as u64;
                self.in_doubt = Some((Instant::now() + DOUBT, Instant::now()));
                self.reports.iter_mut().for_each(|report| report.is_repeated = true);
                Next::Retry
            }
        }
    }

    async fn exchange(&mut self, wanted: usize) -> Result<Turn, Error> {
        let client_id = self.queue.connection().client_id(&self.queue.keys().of("meta")).await?;
        let taking = Taking {
            wanted,
            lock: self.options.lock,
            worker_name: &self.options.name,
            token_prefix: &self.identity.token_prefix(client_id),
            first_token: self.tokens,
        };
        exchange(&self.queue, &self.reports[..self.reports.len().min(MOST)], &taking).await
    }

    /// Takes note of what Redis answered.
    fn note(&mut self, turn: Turn, wanted: usize) -> Next {
        let reported: Vec<Report> = self.reports.drain(..turn.codes.len().min(self.reports.len())).collect();
        for (report, code) in reported.iter().zip(turn.codes) {
            self.settle(report, code);
        }
        let (taken, limited) = (turn.taken.len(), turn.limited);
        self.tokens += taken as u64;
        for job in turn.taken {
            self.start(&job);
        }
        self.in_hand.note_active(turn.active);
        let limit_ends = limited.map(|span| turn.asked_at.saturating_add_unsigned(millis(span)));
        let doubt_step = self.in_doubt.map(|_| turn.asked_at.saturating_add_unsigned(millis(DOUBT_STEP)));
        let until = [turn.next_due, limit_ends, doubt_step].into_iter().flatten().min();
        if !self.reports.is_empty() || taken == wanted && wanted > 0 {
            Next::Now
        } else {
            Next::Wait { until, asked_at: turn.asked_at, is_limited: limited.is_some() }
        }
    }

    /// Starts the jobs that a turn took whose answer was lost.
    async fn adopt_lost(&mut self) -> Result<(), Error> {
        let Some((until, next)) = self.in_doubt else { return Ok(()) };
        let now = Instant::now();
        if now < next {
            return Ok(());
        }
        let known = self.in_hand.all();
        let known = known.iter().map(Claim::id).chain(self.reports.iter().map(|report| report.id.as_str()));
        for job in adopt(&self.queue, self.identity.uuid(), self.options.lock, known).await? {
            tracing::debug!(job_id = job.id, "a job that was taken without our hearing of it");
            self.start(&job);
        }
        self.in_doubt = (now < until).then_some((until, now + DOUBT_STEP));
        Ok(())
    }

    fn start(&mut self, taken: &TakenJob) {
        let mut held = Held::new(taken);
        let claim = Claim::new(
            (&held.id, &held.token),
            held.options.keep_logs.unwrap_or_default(),
            (self.queue.connection().clone(), self.queue.keys().clone()),
            self.options.lock,
        );
        self.in_hand.add(claim.clone());
        self.retries.remove(&held.id);
        let opened = match taken.deferred_failure() {
            Some(reason) => Err(Unfit::Refused(reason)),
            None => taken.open::<T>(&held.options, claim),
        };
        held.options.remove_on_complete = held.options.remove_on_complete.or(self.options.remove_on_complete);
        held.options.remove_on_fail = held.options.remove_on_fail.or(self.options.remove_on_fail);
        let handler = Arc::clone(&self.handler);
        let task = self.running.spawn(async move {
            match opened {
                Ok(job) => Run::Ended(handler.run(job).await),
                Err(Unfit::Refused(reason)) => Run::Ended(Outcome::Unrecoverable(Failure::new(reason))),
                Err(Unfit::Poisoned { reason, data, opts }) => Run::Poisoned { reason, data, opts },
            }
        });
        self.held.insert(task.id(), held);
    }

    /// Takes note of a run that has ended.
    pub(super) fn ended(&mut self, ended: Result<(Id, Run), JoinError>) {
        let (id, run) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => (error.id(), Run::Ended(Outcome::Returned)),
            Err(error) => {
                tracing::error!(%error, "A job's handler panicked");
                (error.id(), Run::Ended(Outcome::Failed(Failure::new("the handler panicked"))))
            }
        };
        if let Some(held) = self.held.remove(&id) {
            self.reports.push(held.conclude(run, now_ms(), fastrand::f64()));
        }
    }

    /// Takes note of what Redis said to a report.
    fn settle(&mut self, report: &Report, code: i64) {
        self.in_hand.remove(&report.id, &report.token);
        if code != 0 && !report.is_repeated {
            tracing::warn!(job_id = report.id, code, "The job was no longer this worker's when it ended");
            return;
        }
        if code != 0 {
            // Most likely the report counted when it was given first, and the answer was lost.
            tracing::info!(job_id = report.id, code, "The job had ended, or was no longer this worker's");
        }
        match report.ending {
            Ending::Completed => {
                self.drained.completed += 1;
                self.control.counters.completed();
            }
            Ending::Failed => {
                self.drained.failed.push(report.id.clone());
                self.control.counters.failed();
            }
            Ending::Again(delay) => {
                self.retries.insert(report.id.clone(), now_ms().saturating_add_unsigned(delay));
            }
            Ending::Returned => {}
        }
    }
}

pub(super) fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
