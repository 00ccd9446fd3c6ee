//! The stream of a queue's events.

mod event;
mod reader;
mod waiters;

use std::{
    pin::Pin,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::sync::mpsc;

pub use self::event::Event;
use self::reader::Reader;
pub(crate) use self::waiters::Waiters;
use crate::{Error, client::Client};

/// Events that are read ahead of their reader.
const READ_AHEAD: usize = 500;

/// Position in the stream.
/// ```no_run
/// # use examhall_queue::{Error, Queue, Position};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let mut events = queue.events(Position::Start).await?;
/// let (read_until, _) = events.next().await;
/// let later = queue.events(Position::After(read_until)).await?;
/// # Ok(())
/// # }
/// ```
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

/// A queue's events, each with its id in the stream, to continue [after](Position::After) it later. A [`Stream`] that never
/// ends: it goes on by itself after an outage of Redis. It has a connection of its own, which is closed when it is dropped.
/// ```no_run
/// # use examhall_queue::{Error, Queue, Position};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// use futures_util::StreamExt;
/// let first_ten: Vec<_> = queue.events(Position::Start).await?.take(10).collect().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Events {
    entries: mpsc::Receiver<(String, Event)>,
}

impl Events {
    /// Reads events after `from`.
    pub(crate) async fn open(client: &Client, from: Position) -> Result<Self, Error> {
        let after = match from {
            Position::Start => "0-0".to_owned(),
            Position::After(id) => id,
            Position::Now => reader::newest(client).await?,
        };
        let (sender, entries) = mpsc::channel(READ_AHEAD);
        tokio::spawn(read_into(sender, Reader::new(client, after)));
        Ok(Self { entries })
    }

    /// Returns the next event and its id in the stream. Waits without a timeout, and is cancel safe.
    pub async fn next(&mut self) -> (String, Event) {
        match self.entries.recv().await {
            Some(entry) => entry,
            None => std::future::pending().await, // the runtime ends
        }
    }
}

impl Stream for Events {
    type Item = (String, Event);

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.entries.poll_recv(context)
    }
}

/// Reads until nobody listens. A read is never dropped while it blocks: the next one would wait behind it.
async fn read_into(sender: mpsc::Sender<(String, Event)>, mut reader: Reader) {
    loop {
        let entries = tokio::select! {
            entries = reader.next() => entries,
            () = sender.closed() => break,
        };
        for entry in entries {
            if sender.send(entry).await.is_err() {
                break;
            }
        }
    }
    reader.close().await;
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use examhall_redis::ConnectionOptions;
    use examhall_testkit::Redis;

    use super::*;
    use crate::{Connection, keys::Keys};

    const BLOCK: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn connection_is_kept_while_nothing_happens() {
        let redis = Redis::start().await;
        // A read that waits behind another one is given up after block and timeout, and its connection replaced.
        let options = ConnectionOptions::default().command_timeout(BLOCK);
        let connection = Connection::open_with(&redis.url(), options).expect("a good URL");
        connection.ready().await.expect("connected");
        let client = Client::new(connection.clone(), Keys::new("bull", "email").expect("good names"));
        let (sender, entries) = mpsc::channel(READ_AHEAD);
        tokio::spawn(read_into(sender, Reader::new(&client, "0-0".to_owned()).block(BLOCK)));
        let mut events = Events { entries };
        let ids = async || -> Vec<String> {
            let list: String = client.at_server("CLIENT", &["LIST"]).await.expect("listed");
            list.lines().filter_map(|line| Some(line.split(' ').next()?.to_owned())).collect()
        };
        let blocked = async || redis.cmd::<String>("INFO clients").await.contains("blocked_clients:1\r").then_some(());
        examhall_testkit::eventually("a read blocks", Duration::from_secs(30), blocked).await;
        let before = ids().await;
        for _ in 0..15 {
            // As of a caller that waits for other things, too.
            let event = tokio::time::timeout(BLOCK / 2, events.next()).await;
            assert!(event.is_err(), "{event:?}");
        }
        assert_eq!(ids().await, before);
        redis.cmd::<String>("XADD bull:email:events * event drained").await;
        let event = tokio::time::timeout(Duration::from_secs(30), events.next()).await.expect("in time");
        assert!(matches!(event, (_, Event::Drained)), "{event:?}");
        assert_eq!(ids().await, before);
    }
}
