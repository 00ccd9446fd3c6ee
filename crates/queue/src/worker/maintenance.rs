//! Periodic tasks of a worker: renews its locks, sends its heartbeat, and recovers jobs of workers that have vanished.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_redis::{ConnectionOptions, Value};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::{
    WorkerOptions,
    control::Counters,
    identity::{Identity, TOKEN_PREFIX, client_id_of},
    in_flight::InFlight,
};
use crate::{
    Claim, Error,
    client::{Client, texts},
    clock::now_ms,
    hooks::{Hooks, WorkerEvent},
    script,
};

/// Interval of heartbeats, and of the search for dead workers.
const BEAT: Duration = Duration::from_secs(1);
/// Time to live of a heartbeat: a worker without one and without its connection is dead.
const DEAD_AFTER: Duration = Duration::from_secs(4);
/// Time that a link must have been up before its worker reaps others: after a restart of Redis they need time to reconnect
/// and to send a heartbeat.
const REAP_AFTER: Duration = Duration::from_secs(2 * ConnectionOptions::MAX_BACKOFF.as_secs() + 2);

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
        let (period, warning) = match task {
            Periodic::RenewLocks => (self.options.lock / 4, "Locks could not be renewed"),
            Periodic::RecoverStalled => (self.options.stalled_interval, "Stalled jobs could not be recovered"),
            Periodic::Heartbeat => (BEAT, "Heartbeats could not be sent or read"),
        };
        let mut clock = interval(period);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(clock.tick()).await.is_some() {
            let done = match task {
                Periodic::RenewLocks => self.renew_locks().await,
                Periodic::RecoverStalled => self.recover_stalled().await,
                Periodic::Heartbeat => self.beat().await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "{warning}");
                self.hooks.call(&WorkerEvent::Error { error: &error });
            }
        }
    }

    async fn renew_locks(&self) -> Result<(), Error> {
        let claims = self.in_flight.all();
        if claims.is_empty() {
            return Ok(());
        }
        let until = Instant::now() + self.options.lock;
        let lost = self.extend(&claims).await?;
        for claim in claims {
            if lost.contains(claim.id()) {
                tracing::warn!(job_id = claim.id(), "Lock lost: another worker may run the job too");
                claim.revoke();
            } else {
                claim.renew(until);
            }
        }
        Ok(())
    }

    async fn recover_stalled(&self) -> Result<(), Error> {
        // Less than the interval, so that a check is not skipped because the one before it was late.
        let pause = (self.options.stalled_interval * 9 / 10).as_millis().to_string();
        let args = vec![now_ms().to_string().into(), pause.into(), self.options.max_stalls.into()];
        let recovered = texts(self.client.eval(&script::RECOVER, args).await?);
        self.count_recovered(&recovered);
        Ok(())
    }

    async fn beat(&self) -> Result<(), Error> {
        if !self.in_flight.is_empty() {
            let key = self.client.keys().heartbeats() + self.identity.uuid();
            let args = ["1", "PX", &DEAD_AFTER.as_millis().to_string()];
            self.client.command::<()>("SET", &key, &args).await?;
        }
        if self.in_flight.others_have_jobs() && self.client.connection().up_for() >= REAP_AFTER {
            self.reap_dead_workers().await?;
        }
        Ok(())
    }

    async fn reap_dead_workers(&self) -> Result<(), Error> {
        let args = vec![TOKEN_PREFIX.into(), self.client.keys().heartbeats().into(), self.identity.uuid().into()];
        let suspects: Vec<String> = self.client.eval(&script::SUSPECTS, args).await?;
        let ids: HashSet<u64> = suspects.iter().skip(1).step_by(2).filter_map(|token| client_id_of(token)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // A frozen worker sends no heartbeat either, but the kernel keeps its connection.
        let connected = self.connected(&ids).await?;
        let mut args: Vec<Value> = vec![self.options.max_stalls.into()];
        for job in suspects.chunks_exact(2) {
            if client_id_of(&job[1]).is_some_and(|id| !connected.contains(&id)) {
                args.extend([job[0].as_str().into(), job[1].as_str().into()]);
            }
        }
        if args.len() > 1 {
            let recovered = texts(self.client.eval(&script::REAP, args).await?);
            self.count_recovered(&recovered);
        }
        Ok(())
    }

    /// Returns which of these connections the server has.
    async fn connected(&self, ids: &HashSet<u64>) -> Result<HashSet<u64>, Error> {
        let ids: Vec<String> = ids.iter().map(u64::to_string).collect();
        let words: Vec<&str> = ["LIST", "ID"].into_iter().chain(ids.iter().map(String::as_str)).collect();
        let list = self.client.at_server("CLIENT", &words).await?;
        Ok(list.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next()?.parse().ok()).collect())
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
