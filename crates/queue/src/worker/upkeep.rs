//! What a worker does beside running jobs: it keeps its locks, and looks for jobs of workers that have vanished.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use fred::types::Value;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::{Error, Queue, clock::now_ms, script};

/// The jobs a worker has, and the token of each one's lock.
#[derive(Clone, Debug, Default)]
pub(super) struct InHand(Arc<Mutex<HashMap<String, String>>>);

impl InHand {
    pub(super) fn add(&self, id: &str, token: &str) {
        self.lock().insert(id.to_owned(), token.to_owned());
    }

    /// Forgets a job, unless it has been taken again under another token.
    pub(super) fn remove(&self, id: &str, token: &str) {
        let mut jobs = self.lock();
        if jobs.get(id).is_some_and(|current| current == token) {
            jobs.remove(id);
        }
    }

    fn all(&self) -> Vec<(String, String)> {
        self.lock().iter().map(|(id, token)| (id.clone(), token.clone())).collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Renews the locks of all jobs in hand four times as often as they end, in one call each time.
pub(super) async fn keep_locks<T>(queue: Queue<T>, in_hand: InHand, lock: Duration, stop: CancellationToken) {
    let mut clock = interval(lock / 4);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        let jobs = in_hand.all();
        if jobs.is_empty() {
            continue;
        }
        match extend(&queue, &jobs, lock).await {
            Ok(lost) => {
                for id in lost {
                    tracing::warn!(job_id = id, "Lock lost: another worker may run the job too");
                }
            }
            Err(error) => tracing::warn!(%error, "Locks could not be renewed"),
        }
    }
}

/// Looks for stalled jobs once per interval, all workers of the queue together.
pub(super) async fn recover_stalled<T>(queue: Queue<T>, every: Duration, max_stalls: u32, stop: CancellationToken) {
    let mut clock = interval(every);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while stop.run_until_cancelled(clock.tick()).await.is_some() {
        match recover(&queue, every, max_stalls).await {
            Ok(recovered) => {
                for id in recovered {
                    tracing::warn!(job_id = id, "Recovered a job whose worker vanished");
                }
            }
            Err(error) => tracing::warn!(%error, "Stalled jobs could not be looked for"),
        }
    }
}

async fn extend<T>(queue: &Queue<T>, jobs: &[(String, String)], lock: Duration) -> Result<Vec<String>, Error> {
    let mut args: Vec<Value> = vec![lock.as_millis().to_string().into()];
    args.extend(jobs.iter().flat_map(|(id, token)| [id, token]).map(|text| Value::from(text.as_str())));
    Ok(queue.eval(&script::EXTEND, args).await?.convert()?)
}

async fn recover<T>(queue: &Queue<T>, every: Duration, max_stalls: u32) -> Result<Vec<String>, Error> {
    let args = vec![now_ms().into(), every.as_millis().to_string().into(), max_stalls.into()];
    Ok(queue.eval(&script::RECOVER, args).await?.convert()?)
}
