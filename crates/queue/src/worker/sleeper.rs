//! Sleeping until there may be work: on BullMQ's marker, with a connection of its own.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::Connection;

/// Longest sleep, so that a dead connection is noticed.
const LONGEST: Duration = Duration::from_secs(10);
/// Shortest one that every Redis understands.
const SHORTEST: Duration = Duration::from_millis(2);
/// Rest after a failed sleep, so that a broken connection is no busy loop.
const REST: Duration = Duration::from_millis(200);

/// Wakes a worker. It never sleeps unless asked to, so it takes no signal away from workers that could use it.
pub(super) struct Sleeper {
    requests: mpsc::Sender<Duration>,
    wakes: mpsc::Receiver<()>,
    asleep: bool,
}

impl Sleeper {
    pub(super) fn new(connection: Connection, marker: String) -> Self {
        let (requests, mut asked) = mpsc::channel::<Duration>(1);
        let (answers, wakes) = mpsc::channel(1);
        tokio::spawn(async move {
            while let Some(span) = asked.recv().await {
                // Whatever was popped, or nothing: the worker's next turn sees what is ready and what is due when.
                if let Err(error) = connection.blocking_pop_min(marker.clone(), span).await {
                    tracing::debug!(%error, "cannot sleep on the marker");
                    tokio::time::sleep(REST).await;
                }
                if answers.send(()).await.is_err() {
                    return;
                }
            }
        });
        Self { requests, wakes, asleep: false }
    }

    /// Sleeps until there may be work, or for `span`. May be dropped and called again: the same sleep then goes on.
    pub(super) async fn sleep(&mut self, span: Duration) {
        if !self.asleep {
            self.asleep = self.requests.send(span.clamp(SHORTEST, LONGEST)).await.is_ok();
        }
        let _ = self.wakes.recv().await; // `None` only if the task is gone, with the runtime
        self.asleep = false;
    }
}
