//! Acquisitions of many keys by one call, in one script.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Notify, oneshot};

use crate::{Error, acquire::Acquired, connection::busy_aware_sleep, keys::RedisKeys, redis::Redis};

/// How long keys wait for others of the same call of which it is not known yet whether they must be asked or loaded.
pub(crate) const GATHER: Duration = Duration::from_millis(30);

/// Counts what is undecided, until nothing is.
pub(crate) struct Undecided {
    count: AtomicUsize,
    decided: Notify,
}

impl Undecided {
    pub(crate) fn new(count: usize) -> Self {
        Self { count: AtomicUsize::new(count), decided: Notify::new() }
    }

    pub(crate) fn decide_one(&self) {
        if self.count.fetch_sub(1, Ordering::SeqCst) == 1 {
            self.decided.notify_one();
        }
    }

    /// Waits until all are decided, for [`GATHER`] at most: one that is late may be waiting for another process.
    pub(crate) async fn settle(&self) {
        if self.count.load(Ordering::SeqCst) > 0 {
            tokio::select! {
                () = self.decided.notified() => {}
                () = busy_aware_sleep(GATHER) => {}
            }
        }
    }
}

/// A key, and where its answer goes.
type Due = (RedisKeys, oneshot::Sender<Result<Acquired, Error>>);

/// Keys that are acquired together.
pub(crate) struct Gathered {
    undecided: Undecided,
    due: Mutex<Vec<Due>>,
}

/// A key's place among them; dropped unused if Redis is not asked for it.
pub(crate) struct GatherSlot(Arc<Gathered>);

impl Gathered {
    /// Returns the places of so many keys.
    pub(crate) fn slots(count: usize) -> impl Iterator<Item = GatherSlot> {
        let gathered = Arc::new(Self { undecided: Undecided::new(count), due: Mutex::default() });
        (0..count).map(move |_| GatherSlot(Arc::clone(&gathered)))
    }
}

impl Drop for GatherSlot {
    fn drop(&mut self) {
        self.0.undecided.decide_one();
    }
}

impl GatherSlot {
    /// As [`Redis::acquire`], in one script with the others.
    pub(crate) async fn acquire(self, redis: &Redis, keys: &RedisKeys) -> Result<Acquired, Error> {
        let (to_answer, answer) = oneshot::channel();
        let gathered = Arc::clone(&self.0);
        let is_first = {
            let mut due = gathered.due.lock();
            due.push((keys.clone(), to_answer));
            due.len() == 1
        };
        drop(self); // decided
        if is_first {
            gathered.undecided.settle().await;
            let due = std::mem::take(&mut *gathered.due.lock());
            let (keys, to_answer): (Vec<_>, Vec<_>) = due.into_iter().unzip();
            for (to_answer, acquired) in to_answer.into_iter().zip(redis.acquire_many(&keys).await) {
                drop(to_answer.send(acquired)); // the receiver is gone if its flight was
            }
        }
        answer.await.unwrap_or(Err(Error::Slow))
    }
}
