//! Blocks on BullMQ's marker, over a connection of its own, until there may be jobs.

use std::{pin::pin, time::Duration};

use examhall_redis::{Route, Value, convert};
use tokio::sync::mpsc;

use super::plan::{BlockEnd, Marker};
use crate::{Connection, Error, client::Client, script};

/// Longest block, so that a dead connection is noticed.
const LONGEST: Duration = Duration::from_secs(10);
/// Shortest block that every Redis understands.
const SHORTEST: Duration = Duration::from_millis(2);
/// Backoff after an error.
const BACKOFF: Duration = Duration::from_millis(200);
/// Interval at which the block of a stopped worker is ended: the command may not have reached Redis yet.
const UNBLOCK: Duration = Duration::from_millis(50);
/// How long a worker that stops waits for the end of its block.
const STOPS_WITHIN: Duration = Duration::from_secs(1);

/// A worker's side of its blocking connection. It blocks only on request, so it consumes no wake-up that other workers
/// could use.
pub(super) struct Blocking {
    requests: mpsc::Sender<Duration>,
    blocks: mpsc::Receiver<Block>,
    is_blocked: bool,
    client: Client,
}

impl Block {
    /// Returns what it means for the next poll.
    pub(super) fn end(&self) -> BlockEnd {
        if *self == Self::TimedOut { BlockEnd::TimedOut } else { BlockEnd::Woken }
    }
}

type Ends = mpsc::Sender<Block>;

/// What came of a block.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Block {
    Popped(Popped),
    TimedOut,
    /// There was no answer: what was popped, if anything was, is lost.
    Lost,
}

/// A member of the marker, which is nobody else's wake-up any more, with its score: `0` for ready jobs; `1` for a delayed
/// job, with the time at which it is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Popped {
    member: String,
    score: String,
}

/// The task that blocks.
struct Task {
    connection: Connection,
    client: Client,
    marker: String,
    name: String,
    /// Which link to the server has been given the name.
    named: u64,
}

impl Blocking {
    /// Blocks over `connection`, which dashboards see as `name`; `client` is for other commands.
    pub(super) fn new(connection: Connection, client: Client, name: String) -> Self {
        let (requests, mut requested) = mpsc::channel::<Duration>(1);
        let (ends, blocks) = mpsc::channel(1);
        let marker = client.keys().of("marker");
        let mut task = Task { connection, client: client.clone(), marker, name, named: 0 };
        tokio::spawn(async move {
            while let Some(span) = requested.recv().await {
                let block = match task.block(span, &ends).await {
                    Ok(popped) => popped.map_or(Block::TimedOut, Block::Popped),
                    Err(error) => {
                        tracing::debug!(%error, "Cannot block on the marker");
                        // A server that refuses would do so at once again.
                        let (pause, block) =
                            if is_unanswered(&error) { (BACKOFF, Block::Lost) } else { (span, Block::TimedOut) };
                        let _ = tokio::time::timeout(pause, ends.closed()).await;
                        block
                    }
                };
                if let Err(mpsc::error::SendError(block)) = ends.send(block).await {
                    pass_on(&task.client, block).await;
                    break;
                }
            }
            task.connection.close().await;
        });
        Self { requests, blocks, is_blocked: false, client }
    }

    /// Waits for the end of a block, which it begins for [`Marker::Block`] unless one is in progress. Cancel safe: the same
    /// block continues.
    pub(super) async fn wait(&mut self, marker: Marker) -> Block {
        if let (Marker::Block(span), false) = (marker, self.is_blocked) {
            self.is_blocked = self.requests.send(span.clamp(SHORTEST, LONGEST)).await.is_ok();
        }
        if marker == Marker::Ignore || !self.is_blocked {
            return std::future::pending().await;
        }
        let block = self.blocks.recv().await; // `None` only if the task ended with the runtime
        self.is_blocked = false;
        block.unwrap_or(Block::TimedOut)
    }

    /// Wakes another worker if this one was woken.
    pub(super) async fn pass_on(&mut self) {
        if self.is_blocked
            && let Ok(block) = self.blocks.try_recv()
        {
            self.is_blocked = false;
            self.wake_another(block).await;
        }
    }

    /// Wakes the worker that has been blocked longest, if this one was woken.
    pub(super) async fn wake_another(&self, block: Block) {
        pass_on(&self.client, block).await;
    }

    /// Ends the block, and wakes another worker if this one was woken.
    pub(super) async fn stop(&mut self) {
        if !self.is_blocked {
            return;
        }
        self.blocks.close();
        // What was popped before; what is popped now is passed on by the task.
        if let Ok(Some(block)) = tokio::time::timeout(STOPS_WITHIN, self.blocks.recv()).await {
            self.wake_another(block).await;
        }
    }
}

fn is_unanswered(error: &Error) -> bool {
    matches!(error, Error::Redis(error) if error.is_unanswered())
}

/// Puts back what was popped; nothing that wakes workers while the queue is paused.
async fn pass_on(client: &Client, block: Block) {
    let Block::Popped(Popped { member, score }) = block else { return };
    if let Err(error) = client.eval::<()>(&script::PASS_ON, vec![member.into(), score.into()]).await {
        tracing::debug!(%error, "A wake-up was not passed on");
    }
}

impl Task {
    /// Blocks, and returns what was popped. The block ends early if the worker no longer waits for it.
    async fn block(&mut self, span: Duration, ends: &Ends) -> Result<Option<Popped>, Error> {
        let id = self.prepare().await?;
        let mut popping = pin!(self.pop(span));
        loop {
            let stopped = async {
                ends.closed().await;
                let _ = self.client.at_server::<i64>("CLIENT", &["UNBLOCK", &id.to_string()]).await;
                tokio::time::sleep(UNBLOCK).await;
            };
            tokio::select! {
                popped = &mut popping => return popped,
                () = stopped => {}
            }
        }
    }

    /// Names the link to the server, and returns the server's id of it.
    async fn prepare(&mut self) -> Result<u64, Error> {
        let (made, route) = (self.connection.times_made(), Route::Key(&self.marker));
        if self.named != made {
            let args = vec!["SETNAME".into(), self.name.as_str().into()];
            match self.connection.command::<()>("CLIENT", route, args).await {
                Err(error) if error.is_unanswered() => return Err(error.into()),
                Err(error) => tracing::debug!(%error, "The blocking connection has no name"),
                Ok(()) => {}
            }
            self.named = made;
        }
        Ok(self.connection.client_id(route).await?)
    }

    async fn pop(&self, span: Duration) -> Result<Option<Popped>, Error> {
        let args = vec![Value::from(self.marker.as_str()), Value::from(format!("{:.3}", span.as_secs_f64()))];
        let answer: Value = self.connection.blocking("BZPOPMIN", Route::Key(&self.marker), args, span).await?;
        let popped: Option<(Value, String, f64)> = convert(answer).unwrap_or_default();
        Ok(popped.map(|(_, member, score)| Popped { member, score: score.to_string() }))
    }
}
