//! A worker's hold on a job.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use examhall_redis::Value;
use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::{Connection, Error, keys::Keys, script};

/// A worker's hold on one job, for as long as it renews the job's lock.
///
/// A handler asks it before it does what must not be done twice: once the hold [is lost](Self::is_lost), another worker
/// may have the job.
/// ```no_run
/// # use examhall_queue::{Job, Outcome};
/// async fn convert(job: Job<Vec<String>>) -> Outcome {
///     for (done, page) in job.data.iter().enumerate() {
///         if job.claim.is_lost() {
///             return Outcome::Returned;
///         }
///         println!("{page}");
///         // What cannot be shown now is no reason to stop.
///         let _ = job.claim.set_progress(&(100 * (done + 1) / job.data.len())).await;
///         let _ = job.claim.log(&format!("converted {page}")).await;
///     }
///     Outcome::Completed(job.data.len().into())
/// }
/// ```
#[derive(Clone, Debug)]
pub struct Claim {
    hold: Arc<Hold>,
}

#[derive(Debug)]
struct Hold {
    id: String,
    token: String,
    keep_logs: u32,
    queue: Option<(Connection, Keys)>,
    taken_away: CancellationToken,
    /// Until when the lock is known to hold.
    until: Mutex<Instant>,
}

impl Claim {
    pub(crate) fn new(job: (&str, &str), keep_logs: u32, queue: (Connection, Keys), lock: Duration) -> Self {
        Self::over(job, keep_logs, Some(queue), lock)
    }

    /// A hold on nothing, which is never lost: for tests of handlers. Progress and log lines go nowhere.
    pub fn detached() -> Self {
        Self::over(("", ""), 0, None, Duration::from_hours(24 * 365))
    }

    fn over((id, token): (&str, &str), keep_logs: u32, queue: Option<(Connection, Keys)>, lock: Duration) -> Self {
        let until = Mutex::new(Instant::now() + lock);
        let (id, token) = (id.to_owned(), token.to_owned());
        Self { hold: Arc::new(Hold { id, token, keep_logs, queue, taken_away: CancellationToken::new(), until }) }
    }

    /// Whether another worker may have the job: its lock is gone, or could not be renewed in time.
    pub fn is_lost(&self) -> bool {
        self.hold.taken_away.is_cancelled() || self.until() <= Instant::now()
    }

    /// Ends when the hold [is lost](Self::is_lost).
    pub async fn lost(&self) {
        while !self.is_lost() {
            let until = tokio::time::Instant::from_std(self.until());
            let _ = tokio::time::timeout_at(until, self.hold.taken_away.cancelled()).await;
        }
    }

    /// Shows how far the job is, as any JSON; `QueueEvents` and dashboards see it.
    ///
    /// # Errors
    /// [`Error::Payload`], [`Error::Redis`], or [`Error::NotFound`] where the job was removed.
    pub async fn set_progress<P: Serialize + Sync>(&self, progress: &P) -> Result<(), Error> {
        let progress = serde_json::to_string(progress)?;
        let Some((connection, keys)) = &self.hold.queue else { return Ok(()) };
        let args = vec![self.id().into(), progress.into()];
        let known: bool = connection.eval(&script::PROGRESS, &[&keys.of("meta")], args).await?;
        if known { Ok(()) } else { Err(Error::NotFound(self.id().to_owned())) }
    }

    /// Adds a line to the job's log and gives how many there are; the oldest go where the job's options limit them.
    ///
    /// # Errors
    /// [`Error::Redis`], or [`Error::NotFound`] where the job was removed.
    pub async fn log(&self, line: &str) -> Result<u64, Error> {
        let Some((connection, keys)) = &self.hold.queue else { return Ok(0) };
        let args: Vec<Value> = vec![self.id().into(), line.into(), self.hold.keep_logs.into()];
        let lines: i64 = connection.eval(&script::LOG, &[&keys.of("meta")], args).await?;
        u64::try_from(lines).map_err(|_| Error::NotFound(self.id().to_owned()))
    }

    pub(crate) fn id(&self) -> &str {
        &self.hold.id
    }

    pub(crate) fn token(&self) -> &str {
        &self.hold.token
    }

    /// The lock has been found to be somebody else's, or nobody's.
    pub(crate) fn take_away(&self) {
        self.hold.taken_away.cancel();
    }

    /// The lock is known to hold until then.
    pub(crate) fn renew(&self, until: Instant) {
        *self.hold.until.lock().unwrap_or_else(PoisonError::into_inner) = until;
    }

    fn until(&self) -> Instant {
        *self.hold.until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(lock: Duration) -> Claim {
        Claim::over(("7", "t:1"), 0, None, lock)
    }

    #[tokio::test]
    async fn a_claim_is_lost_when_its_lock_is_gone() {
        let claim = claim(Duration::from_mins(1));
        assert!(!claim.is_lost());
        claim.take_away();
        assert!(claim.is_lost());
        claim.lost().await;
    }

    #[tokio::test]
    async fn a_claim_is_lost_when_nobody_renewed_it_in_time_and_holds_on_when_somebody_did() {
        let claim = claim(Duration::from_millis(30));
        let renewed_until = Instant::now() + Duration::from_millis(60);
        claim.renew(renewed_until);
        claim.lost().await;
        assert!(Instant::now() >= renewed_until);
    }
}
