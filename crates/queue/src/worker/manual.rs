//! Single steps of a worker, for programs with a loop of their own: takes a job, extends its lock, ends it.

use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::{
    WorkerOptions,
    identity::TOKEN_PREFIX,
    poll::poll,
    report::{Run, RunningJob},
};
use crate::{
    Claim, Error, Failure, Job, JobId, Outcome, Queue,
    claim::Lease,
    client::Client,
    hooks::Hooks,
    job::{TakenJob, Unfit},
    notes,
    schedulers::advance::keep_schedule,
    script,
};

/// Takes and ends jobs one by one, without a loop, a heartbeat or renewals of locks; BullMQ's `getNextJob`,
/// `moveToCompleted`, `moveToFailed`, `moveToDelayed` and `extendLock`. A token is any text that no other taker uses, and
/// a job may be ended by another process that knows it.
/// ```no_run
/// # use std::time::{Duration, Instant};
/// # use examhall_queue::{ManualWorker, Outcome, Queue, WorkerOptions};
/// # async fn run(queue: Queue<String>) -> Result<(), examhall_queue::Error> {
/// let worker = ManualWorker::new(queue, WorkerOptions::default())?;
/// while let Some(job) = worker.get_next_job("host-1:7").await? {
///     worker.extend_lock(&job.id, "host-1:7", Duration::from_secs(60)).await?;
///     worker.finish_job(&job.id, "host-1:7", Outcome::Completed(job.data.into())).await?;
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ManualWorker<T> {
    queue: Queue<T>,
    options: WorkerOptions,
}

impl<T> ManualWorker<T> {
    /// Takes jobs of `queue`. Of the options, those of single jobs count: lock, name, retention, attempts and backoffs.
    ///
    /// # Errors
    /// Returns [`Error::BadOption`] if an option cannot be used.
    pub fn new(queue: Queue<T>, options: WorkerOptions) -> Result<Self, Error> {
        options.check()?;
        Ok(Self { queue, options })
    }

    /// Takes the next job, if there is one that may run now, and locks it with `token`. Jobs that cannot be run fail, as a
    /// [`Worker`](super::Worker) fails them. A job whose lock expires is recovered by the next worker that looks for
    /// stalled jobs.
    ///
    /// # Errors
    /// Returns [`Error::BadToken`] or [`Error::Redis`]: then a job may have been taken all the same, until its lock
    /// expires.
    pub async fn get_next_job(&self, token: &str) -> Result<Option<Job<T>>, Error>
    where
        T: DeserializeOwned,
    {
        check_token(token)?;
        loop {
            let received = poll(self.client(), &[], &self.options.taking(1, token)).await?;
            match received.taken.first() {
                None if received.gone.is_empty() => return Ok(None),
                None => {}
                Some(found) => match self.open(found, received.sent).await {
                    Ok(job) => return Ok(Some(job)),
                    Err(run) => self.end(found, run).await?,
                },
            }
        }
    }

    /// Ends the run of a job that was taken with `token`, in whatever way: completes it, fails it for good or for now as
    /// its options say, delays it, or makes it ready again.
    ///
    /// # Errors
    /// Returns [`Error::NotFound`], [`Error::LockMissing`], [`Error::LockMismatch`] or [`Error::NotActive`] if the job is
    /// no longer the caller's; then nothing has changed. Or [`Error::BadToken`] or [`Error::Redis`].
    pub async fn finish_job(&self, id: &str, token: &str, outcome: Outcome) -> Result<(), Error> {
        JobId::new(id)?;
        check_token(token)?;
        let answer = self.queue.eval(&script::READ_FIELDS, vec![id.into()]).await?;
        self.end(&TakenJob::from_answer(answer, token)?, Run::Ended(outcome)).await
    }

    /// Sets the time until the lock of a job expires that was taken with `token`.
    ///
    /// # Errors
    /// Returns [`Error::NotFound`], [`Error::LockMissing`] or [`Error::LockMismatch`] if the job is no longer the
    /// caller's, [`Error::BadToken`], [`Error::BadOption`] for a duration that cannot be used, or [`Error::Redis`].
    pub async fn extend_lock(&self, id: &str, token: &str, duration: Duration) -> Result<(), Error> {
        JobId::new(id)?;
        check_token(token)?;
        notes::extend_lock(self.client(), id, token, duration).await
    }

    fn client(&self) -> &Client {
        self.queue.client()
    }

    /// Returns the job, or how its run ends without one.
    async fn open(&self, found: &TakenJob, sent: Instant) -> Result<Job<T>, Run>
    where
        T: DeserializeOwned,
    {
        let options = found.options();
        let keep_logs = options.as_ref().ok().and_then(|options| options.keep_logs).unwrap_or_default();
        let (id, token) = (found.id.clone(), found.token.clone());
        let lease = Lease { id, token, keep_logs, duration: self.options.lock, since: sent, fence: None };
        let claim = Claim::new(lease, self.client().clone(), Hooks::default());
        if let Some(scheduled) = found.scheduled() {
            keep_schedule(self.client(), &scheduled, &claim).await.map_err(Run::Ended)?;
        }
        if let Some(poison) = found.poison() {
            return Err(Run::Poisoned(poison));
        }
        if let Some(reason) = self.options.rules().final_reason(found) {
            return Err(Run::Ended(Outcome::Unrecoverable(Failure::new(reason))));
        }
        found.open(options, claim).map_err(|unfit| match unfit {
            Unfit::Rejected(reason) => Run::Ended(Outcome::Unrecoverable(Failure::new(reason))),
            Unfit::Poisoned(poison) => Run::Poisoned(poison),
        })
    }

    async fn end(&self, found: &TakenJob, run: Run) -> Result<(), Error> {
        let job = RunningJob::new(found, self.options.with_retention(found.options().unwrap_or_default()));
        let report = job.conclude(run, self.options.rules(), self.client().now_ms(), fastrand::f64());
        let received = poll(self.client(), &[report], &self.options.taking(0, &found.token)).await?;
        received.codes[0].to_result(&found.id)
    }
}

/// BullMQ's scripts check no lock for the token `0`, and jobs with a token of our workers are taken from dead ones.
fn check_token(token: &str) -> Result<(), Error> {
    if token.is_empty() || token == "0" || token.starts_with(TOKEN_PREFIX) { Err(Error::BadToken) } else { Ok(()) }
}
