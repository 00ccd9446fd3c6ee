//! The polls of a worker: sends what is due, starts the taken jobs, and settles the reports.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use serde::de::DeserializeOwned;
use tokio::task::{Id, JoinError};
use tracing::Instrument;

use super::{
    Handler, Worker,
    isolation::next_batch,
    plan::{Next, PollSize, looks_for_delayed},
    poll::{Received, Taking, poll, reclaim},
    polls::{Answer, Doubt},
    refusals::may_be_of_one,
    report::{Report, ReportKind, Run, RunningJob},
};
use crate::{
    Claim, Error, Failure, Outcome,
    claim::Lease,
    clock::millis,
    code::Code,
    hooks::WorkerEvent,
    job::{TakenJob, Unfit},
    schedulers::advance::keep_schedule,
};

/// Interval of reclaims.
const RECLAIM: Duration = Duration::from_millis(500);
/// Backoff in ms after a poll that a key of another type kept from something: it did the rest.
const BACKOFF: i64 = 200;

impl<T, H> Worker<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    /// Sends the polls that are due.
    pub(super) async fn send(&mut self) {
        if self.polls.len() == 0 && !matches!(self.polls.next, Next::Retry { .. }) {
            let prepared = match self.isolate().await {
                Ok(true) => self.reclaim().await.map(|()| true),
                other => other,
            };
            match prepared {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    self.polls.fail(&error, &self.hooks);
                    return self.skip_reconnects();
                }
            }
        }
        while let Some(size) = self.state().next_poll() {
            self.poll(size);
        }
    }

    fn poll(&mut self, size: PollSize) {
        let (client, identity, options) = (self.queue.client().clone(), self.identity.clone(), self.options.clone());
        if self.is_stopping {
            // Jobs that are given back go before their equals: the one taken first comes last.
            self.reports.sort_by_key(|report| std::cmp::Reverse(report.job.number));
        }
        let (reports, wanted) = next_batch(&mut self.reports, size);
        self.polls.reserved += wanted;
        self.polls.sent += 1;
        let number = self.polls.sent;
        let now = Instant::now();
        let looks_for_delayed = looks_for_delayed(wanted, self.polls.looked.map(|looked| now - looked));
        if looks_for_delayed {
            self.polls.looked = Some(now);
        }
        self.polls.in_flight.push(Box::pin(async move {
            let received = async {
                let client_id = client.connection().client_id(client.route()).await?;
                let token = &identity.token(client_id, number);
                let taking = Taking { looks_for_delayed, ..options.taking(wanted, token) };
                poll(&client, &reports, &taking).await
            };
            let received = received.await;
            Answer { reports, wanted, received }
        }));
    }

    pub(super) fn answered(&mut self, Answer { reports, wanted, received }: Answer) {
        self.polls.reserved -= wanted;
        match received {
            Ok(received) => {
                self.polls.succeed();
                if received.taken.len() < wanted {
                    self.polls.looked = None;
                }
                self.polls.next = self.accept(received, &reports);
            }
            Err(error) => {
                let (is_refusal, was_alone) = (may_be_of_one(&error), reports.len() == 1 && wanted == 0);
                let again = |report: Report| {
                    let report = report.repeated();
                    if is_refusal { report.refused_once_more(was_alone) } else { report }
                };
                self.reports.extend(reports.into_iter().map(again));
                self.polls.fail(&error, &self.hooks);
            }
        }
    }

    fn accept(&mut self, received: Received, reports: &[Report]) -> Next {
        for (report, code) in reports.iter().zip(received.codes) {
            match code {
                Code::BadKey => {
                    self.polls.refusal = received.failure.clone().unwrap_or_default();
                    self.reports.push(report.clone().refused_once_more(true));
                }
                Code::PendingChildren | Code::FailedChildren => {
                    let rules = self.options.rules();
                    self.reports.push(report.clone().refused(code, rules, self.queue.now_ms(), fastrand::f64()));
                }
                code => self.settle(report, code),
            }
        }
        for id in &received.gone {
            tracing::warn!(job_id = id, "A job's hash is gone: the job is dropped");
        }
        let (polled_at, took_none) = (received.polled_at, received.taken.is_empty());
        for job in received.taken {
            self.start(&job, received.sent, received.added);
        }
        self.in_flight.set_active(received.active);
        self.polls.note_failure(received.failure);
        if self.polls.failure.is_some() {
            return Next::Retry { at: self.queue.now_ms() + BACKOFF };
        }
        if !took_none {
            self.is_drained = false;
        } else if !received.has_more && received.limited.is_none() && !std::mem::replace(&mut self.is_drained, true) {
            self.hooks.call(&WorkerEvent::Drained);
        }
        if received.has_more {
            return Next::WhenFree;
        }
        let after = |span: Duration| polled_at.saturating_add_unsigned(millis(span));
        let reclaim = self.polls.doubt.map(|_| after(RECLAIM));
        let until = [received.next_due, received.limited.map(after), reclaim].into_iter().flatten().min();
        Next::Wait { until, polled_at, is_limited: received.limited.is_some() }
    }

    /// Starts the jobs that a poll took whose answer was lost.
    async fn reclaim(&mut self) -> Result<(), Error> {
        let (Some(doubt), now) = (self.polls.doubt, Instant::now()) else { return Ok(()) };
        if now < doubt.next_reclaim {
            return Ok(());
        }
        loop {
            let (known, sent) = (self.in_flight.all(), Instant::now());
            let reported = self.reports.iter().map(|report| report.job.id.as_str());
            let given_up = self.polls.given_up.ids(self.options.lock);
            let known = known.iter().map(Claim::id).chain(reported).chain(given_up);
            let (jobs, has_more) = reclaim(self.queue.client(), self.identity.uuid(), self.options.lock, known).await?;
            for job in &jobs {
                tracing::debug!(job_id = job.id, "Reclaimed a job of a poll whose answer was lost");
                self.start(job, sent, 0);
            }
            if !has_more || jobs.is_empty() {
                break;
            }
        }
        self.polls.doubt = (now < doubt.until).then_some(Doubt { next_reclaim: now + RECLAIM, ..doubt });
        Ok(())
    }

    /// Starts a job that was taken by a poll that was sent at this time, after `added` jobs had been added.
    fn start(&mut self, taken: &TakenJob, sent: Instant, added: u64) {
        let options = taken.options();
        let own = options.as_ref().cloned().unwrap_or_default();
        self.polls.taken += 1;
        let mut job = RunningJob::new(taken, self.options.with_retention(own));
        (job.number, job.added) = (self.polls.taken, added);
        let lease = Lease {
            id: job.id.clone(),
            token: job.token.clone(),
            keep_logs: job.options.keep_logs.unwrap_or_default(),
            duration: self.options.lock,
            since: sent,
            fence: Some(self.in_flight.fence()),
        };
        let claim = Claim::new(lease, self.queue.client().clone(), self.hooks.clone());
        self.in_flight.add(claim.clone());
        if let Some(draining) = &mut self.draining {
            draining.started(&job.id);
        }
        let scheduled = taken.scheduled().map(|job| (job, claim.clone(), self.queue.client().clone()));
        let (opened, given_up) = (taken.open::<T>(options, claim), self.options.rules().final_reason(taken));
        let handler = Arc::clone(&self.handler);
        let (id, name, attempt) = (job.id.as_str(), job.name.as_str(), job.attempt());
        self.hooks.call(&WorkerEvent::Active { id, name, attempt });
        let span = tracing::debug_span!(target: "examhall_queue::job", "job", id, name, attempt);
        let run = async move {
            if let Some((job, claim, client)) = scheduled
                && let Err(outcome) = keep_schedule(&client, &job, &claim).await
            {
                return Run::Ended(outcome);
            }
            match opened {
                Ok(job) => Run::Ended(match given_up {
                    Some(reason) => handler.give_up(job, reason).await,
                    None => handler.run(job).await,
                }),
                Err(Unfit::Rejected(reason)) => Run::Ended(Outcome::Unrecoverable(Failure::new(reason))),
                Err(Unfit::Poisoned(poison)) => Run::Poisoned(poison),
            }
        };
        let task = self.running.spawn(run.instrument(span));
        self.jobs.insert(task.id(), job);
    }

    pub(super) fn ended(&mut self, ended: Result<(Id, Run), JoinError>) {
        let (id, run) = match ended {
            Ok(ended) => ended,
            Err(error) if error.is_cancelled() => (error.id(), Run::Ended(Outcome::Released)),
            Err(error) => {
                tracing::error!(%error, "A job's handler panicked");
                (error.id(), Run::Ended(Outcome::Failed(Failure::new(panic_reason(error)))))
            }
        };
        if let Some(job) = self.jobs.remove(&id) {
            self.in_flight.end(&job.id, &job.token);
            self.reports.push(job.conclude(run, self.options.rules(), self.queue.now_ms(), fastrand::f64()));
        }
    }

    fn settle(&mut self, report: &Report, code: Code) {
        self.in_flight.remove(&report.job.id, &report.job.token);
        match (code, report.is_repeated) {
            (Code::Done, _) => {}
            // Most likely the report was received when it was sent first, and the answer was lost.
            (_, true) => {
                tracing::info!(job_id = report.job.id, ?code, "The job had ended, or was no longer this worker's");
            }
            (_, false) => {
                tracing::warn!(job_id = report.job.id, ?code, "The job was no longer this worker's when it ended");
                self.control.counters.lost.add(1);
                if let Err(error) = code.to_result(&report.job.id) {
                    self.hooks.call(&WorkerEvent::Error { error: &error });
                }
                return;
            }
        }
        if let Some(event) = report.to_event() {
            self.hooks.call(&event);
        }
        match report.kind {
            ReportKind::Completed { .. } => self.control.counters.completed.add(1),
            ReportKind::Failed { .. } | ReportKind::Poisoned { .. } => self.control.counters.failed.add(1),
            _ => {}
        }
        if let Some(draining) = &mut self.draining {
            draining.reported(report, self.queue.now_ms());
        }
    }
}

/// Returns what a handler's panic says.
fn panic_reason(error: JoinError) -> String {
    let panic = error.try_into_panic().ok();
    let text = panic.as_ref().and_then(|panic| {
        panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str))
    });
    text.map_or_else(|| "the handler panicked".to_owned(), |text| format!("the handler panicked: {text}"))
}
