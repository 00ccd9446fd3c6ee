//! Blocks on BullMQ's marker, over a connection of its own, until there may be jobs.

use std::time::Duration;

use examhall_redis::{Route, Value};
use tokio::sync::mpsc;

use super::plan::Marker;
use crate::{Connection, Error, client::Client};

/// Longest block, so that a dead connection is noticed.
const LONGEST: Duration = Duration::from_secs(10);
/// Shortest block that every Redis understands.
const SHORTEST: Duration = Duration::from_millis(2);
/// Backoff after an error.
const BACKOFF: Duration = Duration::from_millis(200);
/// The marker's member for ready jobs.
const READY: &str = "0";

/// A worker's side of its blocking connection. It blocks only on request, so it consumes no wake-up that other workers
/// could use.
pub(super) struct Blocking {
    requests: mpsc::Sender<Duration>,
    wakes: mpsc::Receiver<()>,
    is_blocked: bool,
    client: Client,
    marker: String,
}

/// The task that blocks.
struct Task {
    connection: Connection,
    marker: String,
    name: String,
    /// Which link to the server has been given the name.
    named: u64,
}

impl Blocking {
    /// Blocks over `connection`, which dashboards see as `name`; `client` is for other commands.
    pub(super) fn new(connection: Connection, client: Client, name: String) -> Self {
        let (requests, mut requested) = mpsc::channel::<Duration>(1);
        let (answers, wakes) = mpsc::channel(1);
        let marker = client.keys().of("marker");
        let mut task = Task { connection, marker: marker.clone(), name, named: 0 };
        tokio::spawn(async move {
            while let Some(span) = requested.recv().await {
                // The popped member is not used: the next poll sees which jobs are ready and when others are due.
                if let Err(error) = task.block(span).await {
                    tracing::debug!(%error, "Cannot block on the marker");
                    tokio::time::sleep(BACKOFF).await;
                }
                if answers.send(()).await.is_err() {
                    break;
                }
            }
            task.connection.close().await;
        });
        Self { requests, wakes, is_blocked: false, client, marker }
    }

    /// Waits for the end of a block, which it begins for [`Marker::Block`] unless one is in progress. Cancel safe: the same
    /// block continues.
    pub(super) async fn wait(&mut self, marker: Marker) {
        if let (Marker::Block(span), false) = (marker, self.is_blocked) {
            self.is_blocked = self.requests.send(span.clamp(SHORTEST, LONGEST)).await.is_ok();
        }
        if marker == Marker::Ignore || !self.is_blocked {
            return std::future::pending().await;
        }
        let _ = self.wakes.recv().await; // `None` only if the task ended with the runtime
        self.is_blocked = false;
    }

    /// Wakes another worker if this one was woken.
    pub(super) async fn pass_on(&mut self) {
        if self.is_blocked && self.wakes.try_recv().is_ok() {
            self.is_blocked = false;
            self.wake_another().await;
        }
    }

    /// Wakes the worker that has been blocked longest.
    pub(super) async fn wake_another(&self) {
        if let Err(error) = self.client.command::<()>("ZADD", &self.marker, &["0", READY]).await {
            tracing::debug!(%error, "A wake-up was not passed on");
        }
    }
}

impl Task {
    async fn block(&mut self, span: Duration) -> Result<(), Error> {
        let made = self.connection.times_made();
        if self.named != made {
            let args = vec!["SETNAME".into(), self.name.as_str().into()];
            self.connection.command::<()>("CLIENT", Route::Key(&self.marker), args).await?;
            self.named = made;
        }
        let args = vec![Value::from(self.marker.as_str()), Value::from(format!("{:.3}", span.as_secs_f64()))];
        Ok(self.connection.blocking("BZPOPMIN", Route::Key(&self.marker), args, span).await?)
    }
}
