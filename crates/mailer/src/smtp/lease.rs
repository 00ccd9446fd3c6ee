//! One of the connections that all mailers together may have open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use examhall_delivery::ConnectionLeases;
use tokio::runtime::Handle;
use tokio_util::task::AbortOnDropHandle;

/// Kept until dropped, or until [`give_back`](Self::give_back), which says when that is done.
pub(super) struct Lease {
    leases: ConnectionLeases,
    holder: String,
    is_kept: Arc<AtomicBool>,
    keeping: AbortOnDropHandle<()>,
}

impl Lease {
    /// Takes a place and renews it every `period`; `None` where none is free. Where Redis cannot say, there is one: the
    /// server itself counts, too.
    pub(super) async fn take(leases: &ConnectionLeases, period: Duration) -> Option<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let holder = format!("{}-{number}-{}", std::process::id(), fastrand::u64(..));
        if !leases.take(&holder).await.unwrap_or(true) {
            return None;
        }
        let is_kept = Arc::new(AtomicBool::new(true));
        let keeping = keep(leases.clone(), holder.clone(), Arc::clone(&is_kept), period);
        let keeping = AbortOnDropHandle::new(tokio::spawn(keeping));
        Some(Self { leases: leases.clone(), holder, is_kept, keeping })
    }

    /// Whether the place is still its own; Redis may have forgotten it and given it to another.
    pub(super) fn is_kept(&self) -> bool {
        self.is_kept.load(Ordering::Relaxed)
    }

    /// Gives the place back. Where Redis cannot be told, it is free after its life.
    pub(super) async fn give_back(mut self) {
        self.keeping.abort(); // else it might take the place once more
        let holder = std::mem::take(&mut self.holder);
        if let Err(error) = self.leases.release(&holder).await {
            tracing::debug!(%error, "The place of a closed connection was not given back");
        }
    }
}

async fn keep(leases: ConnectionLeases, holder: String, is_kept: Arc<AtomicBool>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        is_kept.store(leases.take(&holder).await.unwrap_or(true), Ordering::Relaxed);
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
