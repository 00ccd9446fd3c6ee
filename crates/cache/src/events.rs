//! What happens in a cache, as a stream: for logs, alarms and tests. Hits and misses are in [`Stats`](crate::Stats).

use std::sync::Arc;

use tokio::sync::broadcast::{self, error::RecvError};

use crate::{ReadError, Trust};

/// Events that wait for a slow reader of the stream.
const CAPACITY: usize = 512;

/// Something that has happened in a cache of this process. Keys are those in Redis, with the prefix.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// A load has failed, or took too long.
    LoadFailed {
        /// Its key.
        key: Arc<str>,
        /// Why.
        error: ReadError,
    },
    /// A stale value was served, since no other could be loaded in time.
    StaleServed {
        /// Its key.
        key: Arc<str>,
    },
    /// A value in Redis was not used. The key is loaded; unless the value is of a newer release, it is replaced.
    EntryRejected {
        /// Its key.
        key: Arc<str>,
        /// What is wrong with it.
        reason: Rejection,
    },
    /// This process has invalidated keys or groups.
    Invalidated {
        /// Them.
        keys: Arc<[String]>,
        /// Why: `mark` before a commit, `commit` after it, `delete`, `outbox` for a commit of a process that did not.
        origin: &'static str,
        /// Whether Redis has confirmed it. If not, it is repeated until it does.
        is_confirmed: bool,
    },
    /// The journal has reported changes of keys or groups.
    ChangesRead {
        /// Them, without prefix.
        keys: Arc<[String]>,
    },
    /// The values in Redis are trusted less or more than before.
    TrustChanged(Trust),
    /// Redis has failed too often, and is not asked for the moment.
    CircuitOpened,
    /// Redis answers again.
    CircuitClosed,
    /// The process's own memory was cleared: it may have missed an invalidation.
    MemoryCleared {
        /// Why, as in the metric `cache_epoch_total`.
        cause: &'static str,
    },
    /// The reader of the stream was too slow: it has missed this many events.
    Missed(u64),
}

/// Why a value in Redis is not used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Rejection {
    /// It is damaged, or of an older release.
    Unreadable,
    /// It is of a newer release, and left alone.
    Newer,
    /// It lacks a change that the journal has reported.
    Outdated,
}

/// The events of a cache from now on; from [`Cache::events`](crate::Cache::events).
pub struct Events(broadcast::Receiver<Event>);

impl Events {
    /// Returns the next event; `None` once the cache has ended.
    pub async fn next(&mut self) -> Option<Event> {
        match self.0.recv().await {
            Ok(event) => Some(event),
            Err(RecvError::Lagged(missed)) => Some(Event::Missed(missed)),
            Err(RecvError::Closed) => None,
        }
    }
}

/// Sends events to all readers of the stream. Cheap to clone.
#[derive(Clone)]
pub(crate) struct EventSender(broadcast::Sender<Event>);

impl EventSender {
    pub(crate) fn new() -> Self {
        Self(broadcast::Sender::new(CAPACITY))
    }

    pub(crate) fn subscribe(&self) -> Events {
        Events(self.0.subscribe())
    }

    /// Sends an event if there is a reader.
    pub(crate) fn send(&self, event: impl FnOnce() -> Event) {
        if self.0.receiver_count() > 0 {
            drop(self.0.send(event())); // the last reader may have gone meanwhile
        }
    }
}
