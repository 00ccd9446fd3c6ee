//! Tasks that run alongside the requests, and end after the last of them.

use std::sync::Arc;

use anyhow::Context;
use examhall_boot::liveness::Liveness;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::{auth::revocations, reconciler, regrading, relay, state::State, upkeep};

/// The relay, the reconciler, the listener to the queue's events, grading again, the cache's upkeep and the watch of
/// revocations.
pub(crate) struct Background {
    stop: CancellationToken,
    tasks: Vec<(&'static str, JoinHandle<()>)>,
}

impl Background {
    /// Starts them.
    pub(crate) fn start(state: &Arc<State>, liveness: &Liveness, stop: CancellationToken) -> Self {
        let mut background = Self { stop, tasks: Vec::new() };
        let pulse = liveness.pulse("relay");
        background.spawn("the relay", state, |state, stop| relay::run(state, pulse, stop));
        background.spawn("the reconciler", state, reconciler::run);
        background.spawn("the listener", state, reconciler::listen);
        background.spawn("grading again", state, regrading::run);
        background.spawn("the cache's upkeep", state, upkeep::run);
        background.spawn("the watch of revocations", state, |state, stop| async move {
            revocations::watch(&state.store, &state.revocations, stop).await;
        });
        background
    }

    fn spawn<F>(&mut self, name: &'static str, state: &Arc<State>, run: impl FnOnce(Arc<State>, CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.tasks.push((name, tokio::spawn(run(Arc::clone(state), self.stop.clone()))));
    }

    /// Lets them finish what is in flight, and waits for it.
    ///
    /// # Errors
    /// Returns an error if one of them has panicked.
    pub(crate) async fn finish(self) -> anyhow::Result<()> {
        self.stop.cancel();
        for (name, task) in self.tasks {
            task.await.with_context(|| format!("{name} panicked"))?;
        }
        Ok(())
    }
}
