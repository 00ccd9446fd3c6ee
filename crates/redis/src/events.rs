//! What a connection reports by itself: invalidation messages, reconnects, errors.

use std::time::Duration;

use fred::{
    interfaces::{EventInterface, TrackingInterface},
    types::{client::Invalidation, config::Server},
};
use tokio::sync::broadcast::{Receiver, error::RecvError, error::TryRecvError};

use crate::{Connection, Error, Route, Value};

/// An invalidation message (`CLIENT TRACKING`), or why some are missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invalidated {
    /// These keys were written or deleted.
    Keys(Vec<String>),
    /// More messages came than were buffered.
    Lagged,
    /// The connection was closed.
    Closed,
}

/// Invalidation messages of a connection, from the moment of the subscription. To be read: the last ones are kept, with
/// the buffers that they were received in, until every subscriber has had them.
#[derive(Debug)]
pub struct Invalidations(Receiver<Invalidation>);

/// Losses and reconnects of a connection, from the moment of the subscription.
#[derive(Debug)]
pub struct LinkEvents {
    reconnects: Receiver<Server>,
    errors: Receiver<(fred::error::Error, Option<Server>)>,
}

impl Connection {
    /// Subscribes to invalidation messages; see [`track`](Self::track).
    pub fn invalidations(&self) -> Invalidations {
        Invalidations(self.client.invalidation_rx())
    }

    /// Subscribes to losses and reconnects.
    pub fn link_events(&self) -> LinkEvents {
        LinkEvents { reconnects: self.client.reconnect_rx(), errors: self.client.error_rx() }
    }

    /// Asks the server for an invalidation message for each write under these prefixes (`CLIENT TRACKING ON BCAST`). One
    /// server only: the nodes of a cluster report their own keys alone.
    ///
    /// # Errors
    /// Returns an error if the server refuses or does not answer; nothing is tracked then.
    pub async fn track(&self, prefixes: Vec<String>) -> Result<(), Error> {
        self.client.stop_tracking().await.map_err(Error::of)?; // a second "on" is refused while the first one is in force
        self.client.start_tracking(prefixes, true, false, false, true).await.map_err(Error::of)
    }

    /// Returns whether the server reports writes on this connection now: a connection that was replaced does not.
    ///
    /// # Errors
    /// Returns an error if the server does not answer within `timeout`.
    pub async fn is_tracking(&self, timeout: Duration) -> Result<bool, Error> {
        let args = vec!["TRACKINGINFO".into()];
        let answer: Value = self.command_within(timeout, "CLIENT", Route::Any, args).await?;
        Ok(says_bcast(&answer))
    }
}

impl LinkEvents {
    /// Waits for a reconnect. Several that nobody has waited for count as one.
    pub async fn reconnected(&mut self) {
        closes(self.reconnects.recv().await).await;
        self.skip_reconnects();
    }

    /// Forgets the reconnects so far: a caller that has failed since then waits for another.
    pub fn skip_reconnects(&mut self) {
        while matches!(self.reconnects.try_recv(), Ok(_) | Err(TryRecvError::Lagged(_))) {}
    }

    /// Waits until the connection is lost, or was made again; returns whether it was made.
    pub async fn interrupted(&mut self) -> bool {
        tokio::select! {
            biased;
            // Reported as soon as the connection is lost, some time before there is a new one that could be read.
            lost = self.errors.recv() => closes(lost).await,
            made = self.reconnects.recv() => {
                closes(made).await;
                return true;
            }
        }
        false
    }
}

impl Invalidations {
    /// Waits for the next invalidation message.
    pub async fn next(&mut self) -> Invalidated {
        match self.0.recv().await {
            Ok(message) => to_keys(&message),
            Err(RecvError::Lagged(_)) => Invalidated::Lagged,
            Err(RecvError::Closed) => Invalidated::Closed,
        }
    }

    /// Returns the next invalidation message that has arrived already.
    pub fn try_next(&mut self) -> Option<Invalidated> {
        match self.0.try_recv() {
            Ok(message) => Some(to_keys(&message)),
            Err(TryRecvError::Lagged(_)) => Some(Invalidated::Lagged),
            Err(TryRecvError::Empty | TryRecvError::Closed) => None,
        }
    }
}

/// Never returns where nothing will ever be reported again.
async fn closes<T>(report: Result<T, RecvError>) {
    if matches!(report, Err(RecvError::Closed)) {
        std::future::pending::<()>().await;
    }
}

fn to_keys(message: &Invalidation) -> Invalidated {
    Invalidated::Keys(message.keys.iter().map(|key| key.as_str_lossy().into_owned()).collect())
}

/// Returns whether an answer to `CLIENT TRACKINGINFO` has the flag, wherever this version of Redis puts it.
fn says_bcast(answer: &Value) -> bool {
    match answer {
        Value::Map(map) => map.clone().inner().values().any(says_bcast),
        Value::Array(values) => values.iter().any(says_bcast),
        other => other.as_str().is_some_and(|word| word == "bcast"),
    }
}
