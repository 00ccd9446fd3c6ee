//! Lease of one of the connections that all mailers together may have open.

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

/// A connection lease, held until dropped, or until [`release`](Self::release) returns.
pub(super) struct Lease {
    leases: ConnectionLeases,
    holder: String,
    is_held: Arc<AtomicBool>,
    renewal: AbortOnDropHandle<()>,
}

impl Lease {
    /// Acquires a lease and renews it every `period`; `None` if none is free. While Redis is unavailable it succeeds: the
    /// server limits its connections itself.
    pub(super) async fn acquire(leases: &ConnectionLeases, period: Duration) -> Option<Self> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let holder = format!("{}-{number}-{}", std::process::id(), fastrand::u64(..));
        if !leases.take(&holder).await.unwrap_or(true) {
            return None;
        }
        let is_held = Arc::new(AtomicBool::new(true));
        let renewal = renew(leases.clone(), holder.clone(), Arc::clone(&is_held), period);
        let renewal = AbortOnDropHandle::new(tokio::spawn(renewal));
        Some(Self { leases: leases.clone(), holder, is_held, renewal })
    }

    /// Returns whether the lease is still held; Redis may have lost it and given it to another mailer.
    pub(super) fn is_held(&self) -> bool {
        self.is_held.load(Ordering::Relaxed)
    }

    /// Releases the lease. If Redis cannot be reached, it expires.
    pub(super) async fn release(mut self) {
        self.renewal.abort(); // it might acquire the lease again
        let holder = std::mem::take(&mut self.holder);
        if let Err(error) = self.leases.release(&holder).await {
            tracing::debug!(%error, "Lease of a closed connection not released");
        }
    }
}

async fn renew(leases: ConnectionLeases, holder: String, is_held: Arc<AtomicBool>, period: Duration) {
    loop {
        tokio::time::sleep(period).await;
        is_held.store(leases.take(&holder).await.unwrap_or(true), Ordering::Relaxed);
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
