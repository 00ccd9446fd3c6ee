//! Sleeping until there may be work: on BullMQ's marker, with a connection of its own.

use std::time::Duration;

use examhall_redis::{Route, Value};
use tokio::sync::mpsc;

use crate::{Connection, Error};

/// Longest sleep, so that a dead connection is noticed.
const LONGEST: Duration = Duration::from_secs(10);
/// Shortest one that every Redis understands.
const SHORTEST: Duration = Duration::from_millis(2);
/// Rest after a failed sleep, so that a broken connection is no busy loop.
const REST: Duration = Duration::from_millis(200);
/// The member that says that jobs may be ready.
const READY: &str = "0";

/// Wakes a worker. It never sleeps unless asked to, so it takes no signal away from workers that could use it.
pub(super) struct Sleeper {
    requests: mpsc::Sender<Duration>,
    wakes: mpsc::Receiver<()>,
    asleep: bool,
    awake: Connection,
    marker: String,
}

/// The task that blocks.
struct Sleep {
    connection: Connection,
    marker: String,
    name: String,
    /// Which link to the server has been given the name.
    named: u64,
}

impl Sleeper {
    /// Sleeps over `asleep`, which is named `name` for dashboards, on `marker`; `awake` is for everything else.
    pub(super) fn new(asleep: Connection, awake: Connection, marker: String, name: String) -> Self {
        let (requests, mut asked) = mpsc::channel::<Duration>(1);
        let (answers, wakes) = mpsc::channel(1);
        let mut sleep = Sleep { connection: asleep, marker: marker.clone(), name, named: 0 };
        tokio::spawn(async move {
            while let Some(span) = asked.recv().await {
                // Whatever was popped, or nothing: the worker's next turn sees what is ready and what is due when.
                if let Err(error) = sleep.once(span).await {
                    tracing::debug!(%error, "cannot sleep on the marker");
                    tokio::time::sleep(REST).await;
                }
                if answers.send(()).await.is_err() {
                    return;
                }
            }
        });
        Self { requests, wakes, asleep: false, awake, marker }
    }

    /// Sleeps until there may be work, or for `span`; without a `span` only until a sleep that was begun is over, for ever
    /// where none was. May be dropped and called again: the same sleep then goes on.
    pub(super) async fn sleep(&mut self, span: Option<Duration>) {
        if let (Some(span), false) = (span, self.asleep) {
            self.asleep = self.requests.send(span.clamp(SHORTEST, LONGEST)).await.is_ok();
        }
        if !self.asleep {
            return std::future::pending().await;
        }
        let _ = self.wakes.recv().await; // `None` only if the task is gone, with the runtime
        self.asleep = false;
    }

    /// Hands on what woke this worker while it could take no job: another one may be asleep.
    pub(super) async fn hand_on(&mut self) {
        if self.asleep && self.wakes.try_recv().is_ok() {
            self.asleep = false;
            self.wake_another().await;
        }
    }

    /// Wakes whoever has slept longest.
    pub(super) async fn wake_another(&self) {
        let args = vec![self.marker.as_str().into(), "0".into(), READY.into()];
        if let Err(error) = self.awake.command::<()>("ZADD", Route::Key(&self.marker), args).await {
            tracing::debug!(%error, "a wake-up was not handed on");
        }
    }
}

impl Sleep {
    async fn once(&mut self, span: Duration) -> Result<(), Error> {
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
