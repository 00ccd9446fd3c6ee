//! Waiters for the ends of jobs, all of which share one connection.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::{
    event::Event,
    reader::{self, Reader},
};
use crate::client::Client;

/// Backoff after Redis was unreachable.
const BACKOFF: Duration = Duration::from_millis(200);

/// Jobs that somebody waits for. The task that reads events runs while there are any, and for some seconds after the last.
#[derive(Debug)]
pub(crate) struct Waiters {
    client: Client,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    jobs: HashMap<String, Job>,
    is_reading: bool,
}

#[derive(Debug, Default)]
struct Job {
    waiters: usize,
    ended: Arc<Notify>,
}

/// One waiter for a job.
pub(crate) struct Waiter<'a> {
    waiters: &'a Waiters,
    id: &'a str,
    ended: Arc<Notify>,
}

impl Waiters {
    pub(crate) fn new(client: Client) -> Self {
        Self { client, state: Mutex::default() }
    }

    /// Begins to wait for the job. Read the job after that: an earlier end is not reported.
    pub(crate) fn add<'a>(self: &'a Arc<Self>, id: &'a str) -> Waiter<'a> {
        let mut state = self.lock();
        let job = state.jobs.entry(id.to_owned()).or_default();
        job.waiters += 1;
        let ended = Arc::clone(&job.ended);
        if !state.is_reading {
            state.is_reading = true;
            tokio::spawn(Arc::clone(self).read());
        }
        Waiter { waiters: self, id, ended }
    }

    async fn read(self: Arc<Self>) {
        let after = loop {
            match reader::newest(&self.client).await {
                Ok(newest) => break newest,
                Err(error) => tracing::debug!(%error, "Events cannot be read yet"),
            }
            tokio::time::sleep(BACKOFF).await;
        };
        // The waiters so far may have read their jobs before this position.
        self.lock().jobs.values().for_each(|job| job.ended.notify_waiters());
        let mut reader = Reader::new(&self.client, after);
        loop {
            let events = reader.next().await;
            let mut state = self.lock();
            if events.is_empty() && state.jobs.is_empty() {
                state.is_reading = false;
                break;
            }
            for (_, event) in events {
                if let Event::Completed { id, .. } | Event::Failed { id, .. } | Event::Removed { id } = event
                    && let Some(job) = state.jobs.get(&id)
                {
                    job.ended.notify_waiters();
                }
            }
        }
        reader.close().await;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }
}

impl Waiter<'_> {
    /// Completes when the job has ended, or may have. Notices ends from the first poll on.
    pub(crate) fn ended(&self) -> tokio::sync::futures::Notified<'_> {
        self.ended.notified()
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        let mut state = self.waiters.lock();
        let Some(job) = state.jobs.get_mut(self.id) else { return };
        job.waiters -= 1;
        if job.waiters == 0 {
            state.jobs.remove(self.id);
        }
    }
}
