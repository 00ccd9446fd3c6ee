//! Limits of concurrent loads.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::FutureExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::{ReadError, flight::Flight, nested, settings::Settings};

/// How long a reader waits for a permit while Redis is away: each process then loads every key by itself.
const WAIT_WITHOUT_REDIS: Duration = Duration::from_secs(3);

/// Limits of concurrent loads of a process: while Redis limits them by leases, and while it is away. Waiting for a permit
/// is no part of a load's time limit.
pub(crate) struct Permits {
    loads: Arc<Semaphore>,
    without_redis: Arc<Semaphore>,
    /// How long a reader waits for a permit.
    max_wait: Duration,
}

/// Permission to load, until it is dropped. A load that another load waits for needs none: that one has one.
pub(crate) struct Permit(#[expect(dead_code, reason = "released when dropped")] Option<OwnedSemaphorePermit>);

impl Permit {
    /// Returns the permit of a load that runs together with others of one call: that call has one.
    pub(crate) fn of_many() -> Self {
        Self(None)
    }
}

impl Permits {
    pub(crate) fn new(settings: &Settings) -> Self {
        let semaphore = |permits| Arc::new(Semaphore::new(permits));
        Self {
            loads: semaphore(settings.concurrent_loads),
            without_redis: semaphore(settings.concurrent_loads_without_redis),
            max_wait: settings.max_load_wait,
        }
    }

    /// Returns a permit for a flight if there is one.
    pub(crate) fn free(&self, flight: &Flight) -> Option<Permit> {
        if flight.is_needed().now_or_never().is_some() {
            return Some(Permit(None));
        }
        Arc::clone(&self.loads).try_acquire_owned().ok().map(|permit| Permit(Some(permit)))
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// Returns [`ReadError::Crowded`] if there is none until `deadline`.
    pub(crate) async fn wait(&self, flight: &Flight, deadline: Instant) -> Result<Permit, ReadError> {
        wait(&self.loads, flight, deadline.saturating_duration_since(Instant::now())).await
    }

    /// As [`wait`](Self::wait), for a load while Redis is away.
    pub(crate) async fn wait_without_redis(&self, flight: &Flight) -> Result<Permit, ReadError> {
        wait(&self.without_redis, flight, WAIT_WITHOUT_REDIS.min(self.max_wait)).await
    }

    /// Waits for the permit of a call that loads many keys.
    ///
    /// # Errors
    /// Returns [`ReadError::Crowded`] if there is none in time.
    pub(crate) async fn wait_for_many(&self, is_redis_away: bool) -> Result<Permit, ReadError> {
        let (semaphore, limit) =
            if is_redis_away { (&self.without_redis, WAIT_WITHOUT_REDIS) } else { (&self.loads, self.max_wait) };
        let permit = tokio::time::timeout(limit, Arc::clone(semaphore).acquire_owned()).await;
        permit.map_or_else(|_| Err(ReadError::crowded()), |permit| Ok(Permit(permit.ok())))
    }

    /// Waits for a permit for a load for which no reader waits.
    pub(crate) async fn wait_in_background(&self) -> Permit {
        if nested::running().is_some() {
            return Permit(None);
        }
        Permit(Arc::clone(&self.loads).acquire_owned().await.ok())
    }
}

async fn wait(semaphore: &Arc<Semaphore>, flight: &Flight, limit: Duration) -> Result<Permit, ReadError> {
    tokio::select! {
        biased;
        () = flight.is_needed() => Ok(Permit(None)),
        permit = tokio::time::timeout(limit, Arc::clone(semaphore).acquire_owned()) => match permit {
            Ok(permit) => Ok(Permit(permit.ok())),
            Err(_) => Err(ReadError::crowded()),
        },
    }
}
