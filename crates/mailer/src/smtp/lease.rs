//! One of the connections that all mailers together may have open.

use std::sync::atomic::{AtomicU64, Ordering};

use examhall_queue::Leases;
use tokio::runtime::Handle;

/// Given back when dropped, or by [`give_back`](Self::give_back), which says when that is done.
pub(super) struct Lease {
    leases: Leases,
    holder: String,
}

impl Lease {
    /// Nothing yet: see [`take`](Self::take).
    pub(super) fn new(leases: &Leases) -> Self {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        Self { leases: leases.clone(), holder: format!("{}-{number}-{}", std::process::id(), fastrand::u64(..)) }
    }

    /// Takes a place or keeps the one it has. Where Redis cannot say, it may: the server itself counts, too.
    pub(super) async fn take(&self) -> bool {
        self.leases.take(&self.holder).await.unwrap_or(true)
    }

    /// Gives the place back. Where Redis cannot be told, it is free after its life.
    pub(super) async fn give_back(mut self) {
        let holder = std::mem::take(&mut self.holder);
        if let Err(error) = self.leases.release(&holder).await {
            tracing::debug!(%error, "The place of a closed connection was not given back");
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let holder = std::mem::take(&mut self.holder);
        if let (Ok(runtime), false) = (Handle::try_current(), holder.is_empty()) {
            let leases = self.leases.clone();
            runtime.spawn(async move { leases.release(&holder).await });
        }
    }
}
