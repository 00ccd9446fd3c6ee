//! Reads the entries of a queue's event stream, over a connection of its own.

use std::{collections::HashMap, time::Duration};

use examhall_redis::{Route, Value, convert};

use super::event::Event;
use crate::{Connection, Error, client::Client};

/// How long one read blocks.
const BLOCK: Duration = Duration::from_secs(5);
/// Backoff after a failed read.
const BACKOFF: Duration = Duration::from_millis(200);
/// Largest number of entries per read.
const COUNT: u32 = 500;

/// Reads entries in order.
#[derive(Debug)]
pub(super) struct Reader {
    connection: Connection,
    key: String,
    after: String,
    /// How long one read blocks.
    block: Duration,
}

impl Reader {
    /// Reads the entries after the one with the id `after`.
    pub(super) fn new(client: &Client, after: String) -> Self {
        let (connection, key) = (client.connection().duplicate(), client.keys().of("events"));
        Self { connection, key, after, block: BLOCK }
    }

    #[cfg(test)]
    pub(super) fn block(self, block: Duration) -> Self {
        Self { block, ..self }
    }

    /// Returns the next entries: none if there are none for some seconds, or Redis is unreachable.
    pub(super) async fn next(&mut self) -> Vec<(String, Event)> {
        match self.read().await {
            Ok(entries) => {
                if let Some((id, _)) = entries.last() {
                    self.after.clone_from(id);
                }
                entries
            }
            Err(error) => {
                tracing::debug!(%error, "Events cannot be read");
                tokio::time::sleep(BACKOFF).await;
                Vec::new()
            }
        }
    }

    pub(super) async fn close(self) {
        self.connection.close().await;
    }

    async fn read(&self) -> Result<Vec<(String, Event)>, Error> {
        let words = [
            "BLOCK",
            &self.block.as_millis().to_string(),
            "COUNT",
            &COUNT.to_string(),
            "STREAMS",
            &self.key,
            &self.after,
        ];
        let args = words.into_iter().map(Value::from).collect();
        let server = Route::Key(&self.key);
        match self.connection.blocking("XREAD", server, args, self.block).await? {
            Value::Map(streams) => streams.inner().into_values().next().map_or(Ok(Vec::new()), to_entries),
            // A caller's own client may speak RESP2: `[[key, entries]]`.
            streams @ Value::Array(_) => {
                let streams: Vec<(String, Value)> = convert(streams)?;
                streams.into_iter().next().map_or(Ok(Vec::new()), |(_, entries)| to_entries(entries))
            }
            _ => Ok(Vec::new()),
        }
    }
}

/// Returns the id of the newest entry.
pub(super) async fn newest(client: &Client) -> Result<String, Error> {
    let newest = client.command("XREVRANGE", &client.keys().of("events"), &["+", "-", "COUNT", "1"]).await?;
    Ok(to_entries(newest)?.pop().map_or_else(|| "0-0".to_owned(), |(id, _)| id))
}

/// Reads `[[id, [field, value, ...]], ...]`. Text that is no UTF-8 is read as well as it can be: it would block the events
/// behind it.
fn to_entries(answer: Value) -> Result<Vec<(String, Event)>, Error> {
    let entries: Vec<(String, Vec<Value>)> = convert(answer)?;
    let text = |value: &Value| value.as_bytes().map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let fields = |words: &[Value]| -> HashMap<String, String> {
        words.chunks_exact(2).filter_map(|pair| Some((text(&pair[0])?, text(&pair[1])?))).collect()
    };
    Ok(entries.into_iter().map(|(id, words)| (id, Event::from_fields(fields(&words)))).collect())
}
