//! Isolation of what Redis refuses.
//!
//! A script that fails does so for everything that it was given. So after the second refusal in a row the worker asks what
//! is wrong. If it is a key of the queue, nothing can be done: it backs off until that is repaired. Otherwise each report is
//! sent alone, and one that is refused alone, too, is given up, so that the others go on.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::{
    Handler, Worker, heartbeat,
    plan::PollSize,
    refusals::{Refusals, TWICE, Verdict},
    report::Report,
};
use crate::{Error, hooks::WorkerEvent, script};

/// Largest number of bytes that the reports of one poll have together.
const MOST_BYTES: usize = 8 * 1024 * 1024;

/// Removes the reports of the next poll, and returns them with the number of jobs that it takes.
pub(super) fn next_batch(reports: &mut Vec<Report>, size: PollSize) -> (Vec<Report>, usize) {
    if let Some(at) = reports.iter().position(|report| report.refusals.verdict() == Verdict::SendAlone) {
        return (vec![reports.remove(at)], 0);
    }
    let mut bytes = 0;
    let fits = reports.iter().take(size.reports).take_while(|report| {
        let is_first = bytes == 0;
        bytes += report.bytes();
        is_first || bytes <= MOST_BYTES
    });
    let count = fits.count();
    (reports.drain(..count).collect(), size.wanted.saturating_sub(size.reports - count))
}

/// Jobs that were given up, until their locks have run out: the worker must not reclaim them.
#[derive(Debug, Default)]
pub(super) struct GivenUp(Vec<(String, Instant)>);

impl GivenUp {
    fn add(&mut self, id: &str, lock: Duration) {
        self.0.retain(|(_, since)| since.elapsed() <= lock);
        self.0.push((id.to_owned(), Instant::now()));
    }

    pub(super) fn ids(&self, lock: Duration) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(_, since)| since.elapsed() <= lock).map(|(id, _)| id.as_str())
    }
}

impl<T, H> Worker<T, H>
where
    T: DeserializeOwned + Send + 'static,
    H: Handler<T>,
{
    /// Isolates what Redis has refused twice. Returns whether polls make sense.
    ///
    /// # Errors
    /// Returns an error if the server refuses everything, or does not answer.
    pub(super) async fn isolate(&mut self) -> Result<bool, Error> {
        let verdict = |report: &Report| report.refusals.verdict();
        if self.polls.refusals < TWICE && self.reports.iter().all(|report| verdict(report) == Verdict::Send) {
            return Ok(true);
        }
        let client = self.queue.client().clone();
        heartbeat::send(&client, self.identity.uuid(), self.options.lock).await?; // does the server accept any write?
        let broken: String = client.eval(&script::DIAGNOSE, vec![]).await?;
        if !broken.is_empty() {
            self.polls.blocked(broken);
            return Ok(false);
        }
        if std::mem::take(&mut self.polls.is_blocked) {
            self.polls.refusals = 0;
            self.reports.iter_mut().for_each(|report| report.refusals = Refusals::default());
            return Ok(true);
        }
        if self.reports.iter().all(|report| verdict(report) == Verdict::Send) {
            self.polls.log_refusal();
        }
        for report in self.reports.extract_if(.., |report| verdict(report) == Verdict::GiveUp) {
            let (id, reason) = (&report.job.id, &self.polls.refusal);
            tracing::error!(job_id = id, reason, "The end of a job cannot be reported: its worker gives it up");
            self.in_flight.remove(id, &report.job.token);
            self.polls.given_up.add(id, self.options.lock);
            self.control.counters.lost.add(1);
            self.hooks.call(&WorkerEvent::Error { error: &Error::BadKey(id.clone()) });
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::{super::report::ReportKind, *};
    use crate::{Retention, worker::report::RunningJob};

    fn report(id: &str, bytes: usize, refusals: u32) -> Report {
        let kind = ReportKind::Completed { value: "x".repeat(bytes), keep: Retention::KeepAll };
        let report = RunningJob::example(id).reported(kind);
        (0..refusals).fold(report, |report, _| report.refused_once_more(false))
    }

    #[test]
    fn polls_are_limited_in_bytes_and_split_when_refused() {
        let third = MOST_BYTES / 3;
        for (name, reports, expected) in [
            ("short ones", vec![report("a", 1, 0), report("b", 1, 1)], (vec!["a", "b"], 5)),
            ("a long one", vec![report("a", MOST_BYTES + 1, 0), report("b", 1, 0)], (vec!["a"], 4)),
            ("long ones", ["a", "b", "c", "d"].map(|id| report(id, third, 0)).into(), (vec!["a", "b", "c"], 4)),
            ("one refused twice", vec![report("a", 1, 0), report("b", 1, 2)], (vec!["b"], 0)),
            ("none", vec![], (vec![], 5)),
        ] {
            let (mut rest, size) = (reports.clone(), PollSize { reports: reports.len(), wanted: 5 });
            let (batch, wanted) = next_batch(&mut rest, size);
            let ids: Vec<&str> = batch.iter().map(|report| report.job.id.as_str()).collect();
            assert_eq!((ids, wanted), expected, "{name}");
            assert_eq!(batch.len() + rest.len(), reports.len(), "{name}");
        }
    }

    #[test]
    fn given_up_jobs_are_known_until_their_locks_end() {
        let mut given_up = GivenUp::default();
        given_up.add("a", Duration::from_secs(60));
        assert_eq!(given_up.ids(Duration::from_secs(60)).collect::<Vec<_>>(), ["a"]);
        assert_eq!(given_up.ids(Duration::ZERO).count(), 0);
    }
}
