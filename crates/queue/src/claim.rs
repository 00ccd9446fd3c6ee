//! A worker's lease on a job.

use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::{Mutex, MutexGuard};
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{
    Error,
    client::Client,
    hooks::{Hooks, WorkerEvent},
    notes,
};

/// How long [`Claim::lost`] waits for a late heartbeat: a process that was frozen sends one at once.
const CONFIRMS_WITHIN: Duration = Duration::from_secs(1);

/// A worker's lease on one job: the job's lock, which holds a fencing token and which the worker renews.
///
/// A handler asks it before it does what must not be done twice: once the lease [is lost](Self::is_lost), another worker
/// may have the job.
/// ```no_run
/// # use examhall_queue::{Job, Outcome};
/// async fn convert(job: Job<Vec<String>>) -> Outcome {
///     for (done, page) in job.data.iter().enumerate() {
///         if job.claim.is_lost() {
///             return Outcome::Released;
///         }
///         println!("{page}");
///         // The job goes on if its progress cannot be stored.
///         let _ = job.claim.set_progress(&(100 * (done + 1) / job.data.len())).await;
///         let _ = job.claim.log(&format!("converted {page}")).await;
///     }
///     Outcome::Completed(job.data.len().into())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Claim {
    state: Arc<State>,
}

/// What a claim is made of.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) id: String,
    /// Token that the lock holds.
    pub(crate) token: String,
    /// Log lines to keep; 0 keeps all.
    pub(crate) keep_logs: u32,
    pub(crate) duration: Duration,
    /// When the poll was sent that took the job, or reclaimed it: before the lock was set.
    pub(crate) since: Instant,
    pub(crate) fence: Option<Fence>,
}

/// Silence of a worker after which others may take it for dead.
#[derive(Clone, Debug)]
pub(crate) struct Fence {
    pub(crate) after: Duration,
    /// Whether others may know a heartbeat of it: without one they judge by the lock only.
    pub(crate) is_up: Arc<AtomicBool>,
}

#[derive(Debug)]
struct State {
    lease: Lease,
    client: Option<Client>,
    hooks: Hooks,
    revoked: CancellationToken,
    cancelled: CancellationToken,
    /// Why it was cancelled.
    reason: OnceLock<String>,
    /// Whether the run has ended: its report releases the lock.
    has_ended: AtomicBool,
    times: Mutex<Times>,
}

#[derive(Clone, Copy, Debug)]
struct Times {
    /// Until when the lock is known to hold.
    lock_until: Instant,
    /// Since when the worker may have been silent, as the server sees it.
    silent_since: Instant,
}

impl Claim {
    pub(crate) fn new(lease: Lease, client: Client, hooks: Hooks) -> Self {
        Self::with(lease, Some(client), hooks)
    }

    /// A claim on no job, which is never lost, for tests of handlers. Progress and log lines are discarded.
    pub fn detached() -> Self {
        let duration = Duration::from_secs(365 * 24 * 3600);
        let (id, token, since) = (String::new(), String::new(), Instant::now());
        Self::with(Lease { id, token, keep_logs: 0, duration, since, fence: None }, None, Hooks::default())
    }

    fn with(lease: Lease, client: Option<Client>, hooks: Hooks) -> Self {
        let times = Times { lock_until: lease.since + lease.duration, silent_since: lease.since };
        let (revoked, cancelled) = (CancellationToken::new(), CancellationToken::new());
        let (reason, has_ended, times) = (OnceLock::new(), AtomicBool::new(false), Mutex::new(times));
        Self { state: Arc::new(State { lease, client, hooks, revoked, cancelled, reason, has_ended, times }) }
    }

    /// Returns whether another worker may have the job: its lock is gone or was not renewed in time, or the worker has
    /// been cut off from Redis for so long (3.5 s) that others may soon take it for dead. The latter may end again, once
    /// the worker has learned that it has kept the job.
    pub fn is_lost(&self) -> bool {
        self.state.revoked.is_cancelled() || self.ends_at() <= Instant::now()
    }

    /// Waits until the lease [is lost](Self::is_lost). After a silence it waits for a second more, in which a worker that
    /// was frozen learns that it has kept the job.
    pub async fn lost(&self) {
        let revoked = &self.state.revoked;
        loop {
            let (now, ends_at) = (Instant::now(), self.ends_at());
            if revoked.is_cancelled() || self.times().lock_until <= now {
                return;
            }
            if ends_at > now {
                let _ = tokio::time::timeout_at(ends_at.into(), revoked.cancelled()).await;
            } else {
                let _ = tokio::time::timeout(CONFIRMS_WITHIN, revoked.cancelled()).await;
                if self.is_lost() {
                    return;
                }
            }
        }
    }

    /// Waits until the job [is cancelled](crate::WorkerControl::cancel_job), and returns the reason. A handler that does
    /// not wait for that is not interrupted.
    /// ```no_run
    /// # use examhall_queue::{Failure, Job, Outcome};
    /// # async fn convert(_: &str) -> usize { 0 }
    /// async fn handle(job: Job<String>) -> Outcome {
    ///     tokio::select! {
    ///         pages = convert(&job.data) => Outcome::Completed(pages.into()),
    ///         reason = job.claim.cancelled() => Outcome::Unrecoverable(Failure::new(reason)),
    ///     }
    /// }
    /// ```
    pub async fn cancelled(&self) -> String {
        self.state.cancelled.cancelled().await;
        self.cancel_reason().unwrap_or_default().to_owned()
    }

    /// Returns why the job was cancelled, if it was.
    pub fn cancel_reason(&self) -> Option<&str> {
        self.state.reason.get().map(String::as_str)
    }

    /// Returns a token that is cancelled with the job, to pass on to what the handler calls.
    pub fn cancellation(&self) -> CancellationToken {
        self.state.cancelled.child_token()
    }

    /// Cancels the job; the first reason counts.
    pub(crate) fn cancel(&self, reason: &str) {
        self.state.reason.get_or_init(|| reason.to_owned());
        self.state.cancelled.cancel();
    }

    /// Extends the lease to `duration` from now, for a [`ManualWorker`](crate::ManualWorker), which does not renew it. A
    /// [`Worker`](crate::Worker) renews it by itself, to its own duration.
    ///
    /// # Errors
    /// Returns [`Error::NotFound`], [`Error::LockMissing`] or [`Error::LockMismatch`] if the job is no longer the
    /// handler's, and then the lease [is lost](Self::is_lost); [`Error::BadOption`] for a duration that cannot be
    /// used; or [`Error::Redis`].
    pub async fn extend(&self, duration: Duration) -> Result<(), Error> {
        let Some(client) = &self.state.client else { return Ok(()) };
        let sent = Instant::now();
        let extended = notes::extend_lock(client, self.id(), self.token(), duration).await;
        match &extended {
            Ok(()) => self.renew(sent, duration),
            Err(Error::NotFound(_) | Error::LockMissing(_) | Error::LockMismatch(_)) => self.revoke(),
            Err(_) => {}
        }
        extended
    }

    /// Stores the job's progress, any JSON, for `QueueEvents` and dashboards.
    ///
    /// # Errors
    /// Returns [`Error::Payload`] if it is no JSON, [`Error::NotFound`] if the job was removed, or [`Error::Redis`].
    pub async fn set_progress<P: Serialize + Sync>(&self, progress: &P) -> Result<(), Error> {
        match &self.state.client {
            Some(client) => {
                let progress = notes::to_json(progress)?;
                notes::set_progress(client, self.id(), &progress).await?;
                self.state.hooks.call(&WorkerEvent::Progress { id: self.id(), progress: &progress });
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Replaces the job's data: its next run gets this.
    ///
    /// # Errors
    /// Returns [`Error::Payload`] if it is no JSON, [`Error::NotFound`] if the job was removed, or [`Error::Redis`].
    pub async fn update_data<D: Serialize + Sync>(&self, data: &D) -> Result<(), Error> {
        match &self.state.client {
            Some(client) => notes::update_data(client, self.id(), data).await,
            None => Ok(()),
        }
    }

    /// Adds a line to the job's log and returns the number of lines; the oldest are removed if the job's options limit
    /// them.
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if the job was removed, or [`Error::Redis`].
    pub async fn log(&self, line: &str) -> Result<u64, Error> {
        match &self.state.client {
            Some(client) => notes::log(client, self.id(), line, self.state.lease.keep_logs).await,
            None => Ok(0),
        }
    }

    pub(crate) fn client(&self) -> Option<&Client> {
        self.state.client.as_ref()
    }

    pub(crate) fn id(&self) -> &str {
        &self.state.lease.id
    }

    pub(crate) fn token(&self) -> &str {
        &self.state.lease.token
    }

    /// Marks the lease as lost: the lock is gone or has another token.
    pub(crate) fn revoke(&self) {
        self.state.revoked.cancel();
    }

    /// Notes that the lock was set to `duration`, by a command that was sent at this time.
    pub(crate) fn renew(&self, sent: Instant, duration: Duration) {
        let mut times = self.lock_times();
        times.lock_until = sent + duration;
        times.silent_since = times.silent_since.max(sent);
    }

    /// Notes that the server has received a heartbeat that was sent at this time.
    pub(crate) fn beaten(&self, sent: Instant) {
        let mut times = self.lock_times();
        times.silent_since = times.silent_since.max(sent);
    }

    /// Notes that the run has ended.
    pub(crate) fn end(&self) {
        self.state.has_ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.state.has_ended.load(Ordering::Acquire)
    }

    /// Returns until when no other worker can have the job, as far as is known.
    fn ends_at(&self) -> Instant {
        let Times { lock_until, silent_since } = self.times();
        let fence = self.state.lease.fence.as_ref().filter(|fence| fence.is_up.load(Ordering::Acquire));
        fence.map_or(lock_until, |fence| lock_until.min(silent_since + fence.after))
    }

    fn times(&self) -> Times {
        *self.lock_times()
    }

    fn lock_times(&self) -> MutexGuard<'_, Times> {
        self.state.times.lock()
    }
}

#[cfg(test)]
mod tests;
