//! The stream of what happens in a queue.

mod event;

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use examhall_redis::{Route, Value, convert};
use tokio::time::{Instant, timeout_at};

pub use self::event::Event;
use crate::{Connection, Error, JobRecord, Queue, State};

/// How long one read waits on the server.
const WAIT: Duration = Duration::from_secs(5);
/// Rest after a failed read.
const REST: Duration = Duration::from_millis(200);
/// Entries read at a time.
const COUNT: u32 = 500;
/// How often a waiter looks at the job itself, in case the event was trimmed away before it was read.
const LOOK: Duration = Duration::from_secs(5);

/// Where in the stream to begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Position {
    /// With the oldest entry that is kept: BullMQ keeps about 10,000.
    Start,
    /// With what happens from now on.
    #[default]
    Now,
    /// After the entry with this id.
    After(String),
}

/// Reads a queue's events one after the other; goes on by itself after Redis was away.
#[derive(Debug)]
pub struct Events {
    connection: Connection,
    key: String,
    after: String,
    read: VecDeque<(String, Event)>,
}

impl<T> Queue<T> {
    /// The queue's events from `from` on. `sleeping` is a connection to the same Redis, for nothing but waiting.
    ///
    /// # Errors
    /// [`Error::Redis`].
    pub async fn events(&self, sleeping: Connection, from: Position) -> Result<Events, Error> {
        let key = self.keys().of("events");
        let after = match from {
            Position::Start => "0-0".to_owned(),
            Position::After(id) => id,
            Position::Now => self.newest_event(&key).await?,
        };
        Ok(Events { connection: sleeping, key, after, read: VecDeque::new() })
    }

    /// Waits until a job has completed or failed, and gives it then; for at most `patience`. `sleeping` is a connection to
    /// the same Redis, for nothing but waiting.
    /// ```no_run
    /// # use std::time::Duration;
    /// # use examhall_queue::{Connection, Queue};
    /// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), examhall_queue::Error> {
    /// let sleeping = Connection::open("redis://127.0.0.1:6379")?;
    /// let job = queue.wait_for_end("guest-7", sleeping, Duration::from_secs(30)).await?;
    /// println!("{} with {:?}", job.state, job.returnvalue);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no such job, also where it was removed as soon as it had ended;
    /// [`Error::NotEnded`] after `patience`; [`Error::Redis`].
    pub async fn wait_for_end(&self, id: &str, sleeping: Connection, patience: Duration) -> Result<JobRecord, Error> {
        let deadline = Instant::now() + patience;
        let mut events = self.events(sleeping, Position::Now).await?;
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
            let _ = timeout_at(deadline.min(Instant::now() + LOOK), ended).await;
        }
    }

    async fn newest_event(&self, key: &str) -> Result<String, Error> {
        let args = vec![key.into(), "+".into(), "-".into(), "COUNT".into(), 1.into()];
        let newest = self.connection().command("XREVRANGE", Route::Key(key), args).await?;
        Ok(to_entries(newest)?.pop().map_or_else(|| "0-0".to_owned(), |(id, _)| id))
    }
}

impl Events {
    /// The next event and its id in the stream, to begin [after](Position::After) it another time. Waits for as long as
    /// that takes; may be dropped and called again without losing one.
    pub async fn next(&mut self) -> (String, Event) {
        loop {
            if let Some((id, event)) = self.read.pop_front() {
                self.after.clone_from(&id);
                return (id, event);
            }
            match self.read_on().await {
                Ok(entries) => self.read.extend(entries),
                Err(error) => {
                    tracing::debug!(%error, "events cannot be read");
                    tokio::time::sleep(REST).await;
                }
            }
        }
    }

    async fn read_on(&self) -> Result<Vec<(String, Event)>, Error> {
        let words =
            ["BLOCK", &WAIT.as_millis().to_string(), "COUNT", &COUNT.to_string(), "STREAMS", &self.key, &self.after];
        let args = words.into_iter().map(Value::from).collect();
        let server = Route::Key(&self.key);
        match self.connection.blocking("XREAD", server, args, WAIT).await? {
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
