//! The turns of a worker: what ended is reported, and new jobs are taken and started.

use std::{
    pin::Pin,
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_redis::Route;
use serde::de::DeserializeOwned;
use tokio::task::{Id, JoinError};

use super::{
    Draining, Handler, Worker,
    exchange::{Taking, Turn, adopt, exchange},
    report::{Ending, Held, Report, Run},
};
use crate::{
    Claim, Error, Failure, Outcome,
    clock::now_ms,
    job::{TakenJob, Unfit},
};

/// Most jobs that one script reports, and most that it takes: fred reads a long answer again from its beginning whenever
/// another part of it has come.
const MOST: usize = 64;
/// Most exchanges on their way at the same time.
const MOST_ON_THEIR_WAY: usize = 5;
/// How long jobs are looked for that were taken by a turn whose answer was lost: its script may still run.
const DOUBT: Duration = Duration::from_secs(5);
/// How often.
const DOUBT_STEP: Duration = Duration::from_millis(500);

/// Rest after Redis was not reached, in ms.
const REST: i64 = 200;

/// When to take a turn again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Next {
    /// At once.
    Turn,
    /// As soon as a slot is free: there is more to take.
    Take,
    /// When something happens, or then at the latest (ms since 1970).
    Wait { until: Option<i64>, asked_at: i64, is_limited: bool },
    /// Redis is away: not before then.
    Retry { at: i64 },
}

/// An exchange on its way to Redis and back.
pub(super) type OnItsWay = Pin<Box<dyn Future<Output = Answered> + Send>>;

/// What came back.
pub(super) struct Answered {
    reports: Vec<Report>,
    wanted: usize,
    turn: Result<Turn, Error>,
}

impl<T, H> Worker<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    /// Sends what is due to be reported and asked for.
    pub(super) async fn send(&mut self) {
        if self.on_their_way.is_empty()
            && !matches!(self.next, Next::Retry { .. })
            && let Err(error) = self.adopt_lost().await
        {
            return self.lose_touch(&error);
        }
        while let Some((reports, wanted)) = self.due() {
            let exchange = self.exchange(reports, wanted);
            self.on_their_way.push(exchange);
            self.reserved += wanted;
        }
    }

    /// How many runs the next exchange is to report and how many jobs it is to ask for, if it is time for one.
    fn due(&self) -> Option<(usize, usize)> {
        let (ended, free, slots) = (self.reports.len(), self.free_slots(), *self.concurrency.borrow());
        let is_time = match self.next {
            Next::Turn => ended > 0 || !self.is_stopping,
            Next::Take => ended > 0 || free > 0,
            Next::Wait { .. } => ended > 0,
            Next::Retry { .. } => false,
        };
        // Where jobs are short, many end at once. They go in several exchanges, so that Redis always has one to work on.
        let share = slots.div_ceil(MOST_ON_THEIR_WAY).clamp(1, MOST);
        let others = self.on_their_way.len();
        let has_room = others == 0 || others < MOST_ON_THEIR_WAY && ended >= share && self.in_doubt.is_none();
        let reports = ended.min(share);
        (is_time && has_room).then(|| (reports, free.saturating_sub(ended - reports).min(MOST)))
    }

    /// Reports that many runs and takes up to `wanted` jobs.
    fn exchange(&mut self, reports: usize, wanted: usize) -> OnItsWay {
        let (queue, identity, options) = (self.queue.clone(), self.identity.clone(), self.options.clone());
        let reports: Vec<Report> = self.reports.drain(..reports).collect();
        self.exchanges += 1;
        let number = self.exchanges;
        Box::pin(async move {
            let turn = async {
                let client_id = queue.connection().client_id(Route::Key(&queue.keys().of("meta"))).await?;
                let taking = Taking {
                    wanted,
                    lock: options.lock,
                    worker_name: &options.name,
                    token: &identity.token(client_id, number),
                };
                exchange(&queue, &reports, &taking).await
            };
            let turn = turn.await;
            Answered { reports, wanted, turn }
        })
    }

    /// Takes note of what Redis answered, or did not.
    pub(super) fn answered(&mut self, Answered { reports, wanted, turn }: Answered) {
        self.reserved -= wanted;
        match turn {
            Ok(turn) => self.next = self.note(turn, &reports, wanted),
            Err(error) => {
                self.reports.extend(reports.into_iter().map(Report::repeated));
                self.lose_touch(&error);
            }
        }
    }

    fn lose_touch(&mut self, error: &Error) {
        tracing::warn!(%error, "Queue not reached");
        // A script may have run all the same: jobs may be this worker's, and reports may be known.
        self.in_doubt = Some((Instant::now() + DOUBT, Instant::now()));
        self.next = Next::Retry { at: now_ms() + REST };
    }

    fn note(&mut self, turn: Turn, reports: &[Report], wanted: usize) -> Next {
        for (report, code) in reports.iter().zip(turn.codes) {
            self.settle(report, code);
        }
        for id in &turn.gone {
            tracing::warn!(job_id = id, "A job's hash is gone: the job is dropped");
        }
        let (taken, limited) = (turn.taken.len() + turn.gone.len(), turn.limited);
        for job in turn.taken {
            self.start(&job);
        }
        self.in_hand.note_active(turn.active);
        if taken == wanted {
            return Next::Take;
        }
        let limit_ends = limited.map(|span| turn.asked_at.saturating_add_unsigned(millis(span)));
        let doubt_step = self.in_doubt.map(|_| turn.asked_at.saturating_add_unsigned(millis(DOUBT_STEP)));
        let until = [turn.next_due, limit_ends, doubt_step].into_iter().flatten().min();
        Next::Wait { until, asked_at: turn.asked_at, is_limited: limited.is_some() }
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
        let options = taken.options();
        let mut held = Held::new(taken, options.as_ref().cloned().unwrap_or_default());
        let claim = Claim::new(
            (&held.id, &held.token),
            held.options.keep_logs.unwrap_or_default(),
            (self.queue.connection().clone(), self.queue.keys().clone()),
            self.options.lock,
        );
        self.in_hand.add(claim.clone());
        if let Some(draining) = &mut self.draining {
            draining.retries.remove(&held.id);
        }
        let (opened, given_up) = (taken.open::<T>(options, claim), taken.deferred_failure());
        held.options.remove_on_complete = held.options.remove_on_complete.or(self.options.remove_on_complete);
        held.options.remove_on_fail = held.options.remove_on_fail.or(self.options.remove_on_fail);
        let handler = Arc::clone(&self.handler);
        let task = self.running.spawn(async move {
            match opened {
                Ok(job) => Run::Ended(match given_up {
                    Some(reason) => handler.give_up(job, reason).await,
                    None => handler.run(job).await,
                }),
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
            Ending::Completed => self.control.counters.completed(),
            Ending::Failed => self.control.counters.failed(),
            Ending::Again(_) | Ending::Returned => {}
        }
        if let Some(draining) = &mut self.draining {
            draining.note(report);
        }
    }
}

impl Draining {
    fn note(&mut self, report: &Report) {
        match report.ending {
            Ending::Completed => self.drained.completed += 1,
            Ending::Failed => self.drained.failed.push(report.id.clone()),
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
