//! Periodic tasks of a worker: renews its locks, sends its heartbeat, and recovers jobs of workers that have vanished.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_redis::{LinkEvents, Value};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{WorkerOptions, control::Counters, heartbeat, identity::Identity, in_flight::InFlight, outage::Outage};
use crate::{
    Claim, Error,
    client::{Client, texts},
    clock::millis,
    hooks::{Hooks, WorkerEvent},
    script,
};

/// Shortest period: the shortest lock has one millisecond.
const SHORTEST: Duration = Duration::from_millis(1);

/// Shared by the tasks of one worker.
pub(super) struct Maintenance {
    pub(super) client: Client,
    pub(super) identity: Identity,
    pub(super) in_flight: InFlight,
    pub(super) counters: Counters,
    pub(super) options: WorkerOptions,
    pub(super) hooks: Hooks,
}

/// Periodic tasks, each in a tokio task of its own.
#[derive(Clone, Copy, Debug)]
enum Periodic {
    /// Renews all locks four times per lock duration, in one call each time.
    RenewLocks,
    /// Recovers stalled jobs once per interval and queue, by BullMQ's rule.
    RecoverStalled,
    /// Sends the worker's heartbeat while it has jobs, and reaps the jobs of dead workers.
    Heartbeat,
}

impl Periodic {
    fn log_outage(self, error: &Error) {
        match self {
            Self::RenewLocks => tracing::warn!(%error, "Locks could not be renewed"),
            Self::RecoverStalled => tracing::warn!(%error, "Stalled jobs could not be recovered"),
            Self::Heartbeat => tracing::warn!(%error, "Heartbeats could not be sent or read"),
        }
    }

    fn log_end(self, outage_ms: u64) {
        match self {
            Self::RenewLocks => tracing::info!(outage_ms, "Locks are renewed again"),
            Self::RecoverStalled => tracing::info!(outage_ms, "Stalled jobs are recovered again"),
            Self::Heartbeat => tracing::info!(outage_ms, "Heartbeats are sent and read again"),
        }
    }
}

impl Maintenance {
    /// Runs the tasks until the guard is dropped.
    pub(super) fn start(self) -> DropGuard {
        let (stop, shared) = (CancellationToken::new(), Arc::new(self));
        for task in [Periodic::RenewLocks, Periodic::RecoverStalled, Periodic::Heartbeat] {
            tokio::spawn(Arc::clone(&shared).repeat(task, stop.clone()));
        }
        stop.drop_guard()
    }

    async fn repeat(self: Arc<Self>, task: Periodic, stop: CancellationToken) {
        let period = match task {
            Periodic::RenewLocks => self.options.lock / 4,
            Periodic::RecoverStalled => self.options.stalled_interval,
            Periodic::Heartbeat => heartbeat::BEAT,
        };
        let mut outage = Outage::default();
        let mut clock = interval(period.max(SHORTEST));
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut links = self.client.connection().link_events();
        while stop.run_until_cancelled(self.due(task, &mut clock, &mut links)).await.is_some() {
            let done = match task {
                Periodic::RenewLocks => self.renew_locks().await,
                Periodic::RecoverStalled => self.recover_stalled().await,
                Periodic::Heartbeat => self.beat().await,
            };
            match done {
                Ok(was_asked) => {
                    if was_asked && let Some(lasted) = outage.end() {
                        task.log_end(millis(lasted));
                    }
                }
                Err(error) => {
                    if outage.fail() {
                        task.log_outage(&error);
                    }
                    self.hooks.call(&WorkerEvent::Error { error: &error });
                }
            }
        }
    }

    /// Waits until a task is due: by its clock, and as soon as the server can be reached again or there is a first job.
    async fn due(&self, task: Periodic, clock: &mut Interval, links: &mut LinkEvents) {
        tokio::select! {
            _ = clock.tick() => {}
            () = links.reconnected(), if !matches!(task, Periodic::RecoverStalled) => {}
            () = self.in_flight.first_added(), if matches!(task, Periodic::Heartbeat) => {}
        }
    }

    /// As all tasks do, returns whether it had to ask Redis.
    async fn renew_locks(&self) -> Result<bool, Error> {
        let claims = self.in_flight.all();
        if claims.is_empty() {
            return Ok(false);
        }
        let sent = Instant::now();
        let lost = self.extend(&claims).await?;
        for claim in claims {
            if !lost.contains(claim.id()) {
                claim.renew(sent, self.options.lock);
            } else if !claim.has_ended() {
                tracing::warn!(job_id = claim.id(), "Lock lost: another worker may run the job too");
                claim.revoke();
            }
        }
        Ok(true)
    }

    async fn recover_stalled(&self) -> Result<bool, Error> {
        // Less than the interval, so that a check is not skipped because the one before it was late.
        let pause = (self.options.stalled_interval * 9 / 10).as_millis().max(1).to_string();
        let args = vec![self.client.now_ms().to_string().into(), pause.into(), self.options.max_stalls.into()];
        let recovered = texts(self.client.eval(&script::RECOVER, args).await?);
        self.count_recovered(&recovered);
        Ok(true)
    }

    async fn beat(&self) -> Result<bool, Error> {
        let has_jobs = !self.in_flight.is_empty();
        if has_jobs {
            let sent = Instant::now();
            let stored = heartbeat::send(&self.client, self.identity.uuid(), self.options.lock).await;
            if !stored.as_ref().is_err_and(|error| !error.is_transient()) {
                self.in_flight.set_heartbeat();
            }
            let is_stored = stored?;
            self.in_flight.beaten(sent);
            if !is_stored {
                return Ok(true); // a worker judges nobody while its own heartbeat fails
            }
        }
        let judges = self.in_flight.others_have_jobs();
        if judges {
            let (connection, max_stalls) = (self.client.connection(), self.options.max_stalls);
            let up_for = (connection.times_made() > 1).then(|| connection.up_for());
            let recovered = heartbeat::reap(&self.client, self.identity.uuid(), max_stalls, up_for).await?;
            self.count_recovered(&recovered);
        }
        Ok(has_jobs || judges)
    }

    async fn extend(&self, claims: &[Claim]) -> Result<HashSet<String>, Error> {
        let mut args: Vec<Value> = vec![self.options.lock.as_millis().to_string().into()];
        args.extend(claims.iter().flat_map(|claim| [claim.id(), claim.token()]).map(Value::from));
        let lost: Vec<String> = self.client.eval(&script::EXTEND, args).await?;
        Ok(lost.into_iter().collect())
    }

    fn count_recovered(&self, ids: &[String]) {
        self.counters.recovered.add(ids.len());
        for id in ids {
            tracing::warn!(job_id = id, "Recovered a job whose worker vanished");
            self.hooks.call(&WorkerEvent::Stalled { id });
        }
    }
}
