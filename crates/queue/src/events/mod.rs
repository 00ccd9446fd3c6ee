//! The stream of a queue's events.

mod event;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use examhall_redis::{Route, Value, convert};
use tokio::time::{Instant, timeout_at};

pub use self::event::Event;
use crate::{Connection, Error, JobRecord, Queue, State};

/// How long one read blocks.
const BLOCK: Duration = Duration::from_secs(5);
/// Backoff after a failed read.
const BACKOFF: Duration = Duration::from_millis(200);
/// Largest number of entries per read.
const COUNT: u32 = 500;
/// How often a waiter reads the job itself: its event may be trimmed before it is read.
const RECHECK: Duration = Duration::from_secs(5);

/// Position in the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Position {
    /// Before the oldest stored entry; BullMQ stores about 10,000.
    Start,
    /// After the newest entry.
    #[default]
    Now,
    /// After the entry with this id.
    After(String),
}

/// Reads a queue's events one by one, and resumes by itself after an outage of Redis.
#[derive(Debug)]
pub struct Events {
    connection: Connection,
    key: String,
    after: String,
    unread: VecDeque<(String, Event)>,
}

impl<T> Queue<T> {
    /// Reads the queue's events after `from`. `blocking` is a connection to the same Redis for blocking reads only.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn events(&self, blocking: Connection, from: Position) -> Result<Events, Error> {
        let key = self.client().keys().of("events");
        let after = match from {
            Position::Start => "0-0".to_owned(),
            Position::After(id) => id,
            Position::Now => self.newest_event(&key).await?,
        };
        Ok(Events { connection: blocking, key, after, unread: VecDeque::new() })
    }

    /// Waits until a job has completed or failed, and returns it. `blocking` is a connection to the same Redis for blocking
    /// reads only.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{Connection, Queue};
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// let blocking = Connection::open("redis://127.0.0.1:6379")?;
    /// let job = queue.wait_for_end("guest-7", blocking, Duration::from_secs(30)).await?;
    /// println!("{} with {:?}", job.state, job.returnvalue);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// Returns [`Error::NotFound`] if there is no such job, or it was removed when it ended, [`Error::NotEnded`] after
    /// `timeout`, or [`Error::Redis`].
    pub async fn wait_for_end(&self, id: &str, blocking: Connection, timeout: Duration) -> Result<JobRecord, Error> {
        let deadline = Instant::now() + timeout;
        let mut events = self.events(blocking, Position::Now).await?;
        loop {
            let job = self.get(id).await?.ok_or_else(|| Error::NotFound(id.to_owned()))?;
            if matches!(job.state, State::Completed | State::Failed) {
                return Ok(job);
            }
            if Instant::now() >= deadline {
                return Err(Error::NotEnded(id.to_owned()));
            }
            let ended = async {
                loop {
                    match events.next().await.1 {
                        Event::Completed { id: of, .. } | Event::Failed { id: of, .. } if of == id => return,
                        _ => {}
                    }
                }
            };
            let _ = timeout_at(deadline.min(Instant::now() + RECHECK), ended).await;
        }
    }

    async fn newest_event(&self, key: &str) -> Result<String, Error> {
        let newest = self.client().command("XREVRANGE", key, &["+", "-", "COUNT", "1"]).await?;
        Ok(to_entries(newest)?.pop().map_or_else(|| "0-0".to_owned(), |(id, _)| id))
    }
}

impl Events {
    /// Returns the next event and its id in the stream, to continue [after](Position::After) it later. Waits without a
    /// timeout, and is cancel safe.
    pub async fn next(&mut self) -> (String, Event) {
        loop {
            if let Some((id, event)) = self.unread.pop_front() {
                self.after.clone_from(&id);
                return (id, event);
            }
            match self.read().await {
                Ok(entries) => self.unread.extend(entries),
                Err(error) => {
                    tracing::debug!(%error, "Events cannot be read");
                    tokio::time::sleep(BACKOFF).await;
                }
            }
        }
    }

    async fn read(&self) -> Result<Vec<(String, Event)>, Error> {
        let words =
            ["BLOCK", &BLOCK.as_millis().to_string(), "COUNT", &COUNT.to_string(), "STREAMS", &self.key, &self.after];
        let args = words.into_iter().map(Value::from).collect();
        let server = Route::Key(&self.key);
        match self.connection.blocking("XREAD", server, args, BLOCK).await? {
            Value::Map(streams) => streams.inner().into_values().next().map_or(Ok(Vec::new()), to_entries),
            _ => Ok(Vec::new()),
        }
    }
}

/// Reads `[[id, [field, value, ...]], ...]`.
fn to_entries(answer: Value) -> Result<Vec<(String, Event)>, Error> {
    let entries: Vec<(String, HashMap<String, String>)> = convert(answer)?;
    Ok(entries.into_iter().map(|(id, fields)| (id, Event::from_fields(fields))).collect())
}
