//! What runs beside the requests, and ends after the last of them.

use std::sync::Arc;

use anyhow::Context;
use examhall_boot::liveness::Liveness;
use examhall_queue::Connection;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{auth::revocations, reconciler, relay, state::State, upkeep};

/// The relay, the reconciler, the listener to the queue's events, the cache's upkeep and the watch of revocations.
pub(crate) struct Background {
    stop: CancellationToken,
    tasks: [(&'static str, JoinHandle<()>); 5],
    sleeping: Connection,
}

impl Background {
    /// Starts them. `sleeping` waits for the queue's events, and does nothing else.
    pub(crate) fn start(
        state: &Arc<State>,
        sleeping: Connection,
        liveness: &Liveness,
        stop: CancellationToken,
    ) -> Self {
        let shared = || (Arc::clone(state), stop.clone());
        let ((relayed, one), (asked, two), (heard, three), (kept, four)) = (shared(), shared(), shared(), shared());
        let (watched, five) = shared();
        let tasks = [
            ("the relay", tokio::spawn(relay::run(relayed, liveness.pulse("relay"), one))),
            ("the reconciler", tokio::spawn(reconciler::run(asked, two))),
            ("the listener", tokio::spawn(reconciler::listen(heard, sleeping.clone(), three))),
            ("the cache's upkeep", tokio::spawn(upkeep::run(kept, four))),
            ("the watch of revocations", tokio::spawn(revocations::watch(watched, five))),
        ];
        Self { stop, tasks, sleeping }
    }

    /// Lets them finish what they have in hand, and waits for it.
    ///
    /// # Errors
    /// Where one of them has panicked.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        self.stop.cancel();
        for (name, task) in self.tasks {
            task.await.with_context(|| format!("{name} panicked"))?;
        }
        self.sleeping.close().await;
        Ok(())
    }
}
