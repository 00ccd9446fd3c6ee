//! What a worker does beside running jobs: it keeps its locks, shows that it is alive, and looks for jobs of workers
//! that are not.

use std::{
    collections::HashSet,
    sync::Arc,
    time::{Duration, Instant},
};

use examhall_redis::{ConnectionOptions, Route, Value};
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use super::{
    control::Counters,
    identity::{Identity, MARK, client_id_of},
    in_hand::InHand,
};
use crate::{Claim, Error, Queue, clock::now_ms, script};

/// How often a worker with jobs shows that it is alive, and looks whether others are.
const BEAT: Duration = Duration::from_secs(1);
/// Without a sign for so long, and without its connection, a worker is dead.
const DEAD_AFTER: Duration = Duration::from_secs(4);
/// How long a link must have been up before others are judged by it: after a restart of Redis they need the time to come
/// back and to show that they are alive.
const JUDGE_AFTER: Duration = Duration::from_secs(2 * ConnectionOptions::MAX_BACKOFF.as_secs() + 2);

/// What all the tasks of one worker's upkeep need.
pub(super) struct Upkeep<T> {
    pub(super) queue: Queue<T>,
    pub(super) identity: Identity,
    pub(super) in_hand: InHand,
    pub(super) counters: Counters,
    pub(super) lock: Duration,
    pub(super) stalled_interval: Duration,
    pub(super) max_stalls: u32,
    pub(super) stop: CancellationToken,
}

/// What is done again and again, each in a task of its own.
#[derive(Clone, Copy, Debug)]
pub(super) enum Duty {
    /// Renews the locks of all jobs in hand four times as often as they end, in one call each time.
    KeepLocks,
    /// Looks for stalled jobs once per interval, all workers of the queue together: BullMQ's own rule.
    RecoverStalled,
    /// Shows that this worker is alive while it has jobs, and takes jobs from workers of ours that are dead.
    WatchOverLives,
}

impl<T: 'static> Upkeep<T> {
    /// Does its duty until the worker stops.
    pub(super) async fn run(self: Arc<Self>, duty: Duty) {
        let (period, complaint) = match duty {
            Duty::KeepLocks => (self.lock / 4, "Locks could not be renewed"),
            Duty::RecoverStalled => (self.stalled_interval, "Stalled jobs could not be looked for"),
            Duty::WatchOverLives => (BEAT, "Signs of life could not be given or looked for"),
        };
        let mut clock = interval(period);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while self.stop.run_until_cancelled(clock.tick()).await.is_some() {
            let done = match duty {
                Duty::KeepLocks => self.keep_locks().await,
                Duty::RecoverStalled => self.recover_stalled().await,
                Duty::WatchOverLives => self.watch_over_lives().await,
            };
            if let Err(error) = done {
                tracing::warn!(%error, "{complaint}");
            }
        }
    }

    async fn keep_locks(&self) -> Result<(), Error> {
        let claims = self.in_hand.all();
        if claims.is_empty() {
            return Ok(());
        }
        let until = Instant::now() + self.lock;
        let lost = self.extend(&claims).await?;
        for claim in claims {
            if lost.contains(claim.id()) {
                tracing::warn!(job_id = claim.id(), "Lock lost: another worker may run the job too");
                claim.take_away();
            } else {
                claim.renew(until);
            }
        }
        Ok(())
    }

    async fn recover_stalled(&self) -> Result<(), Error> {
        // A little less than the interval: a check that comes as late as the one before it did is not to be left out.
        let nobody_else_for = (self.stalled_interval * 9 / 10).as_millis().to_string();
        let args = vec![now_ms().to_string().into(), nobody_else_for.into(), self.max_stalls.into()];
        let recovered: Vec<String> = self.queue.eval(&script::RECOVER, args).await?;
        self.report_recovered(&recovered);
        Ok(())
    }

    async fn watch_over_lives(&self) -> Result<(), Error> {
        if !self.in_hand.is_empty() {
            self.show_life().await?;
        }
        if self.in_hand.others_have_some() && self.queue.connection().up_for() >= JUDGE_AFTER {
            self.bury_the_dead().await?;
        }
        Ok(())
    }

    async fn show_life(&self) -> Result<(), Error> {
        let key = self.queue.keys().signs_of_life() + self.identity.uuid();
        let args = vec![key.as_str().into(), "1".into(), "PX".into(), DEAD_AFTER.as_millis().to_string().into()];
        Ok(self.queue.connection().command("SET", Route::Key(&key), args).await?)
    }

    async fn bury_the_dead(&self) -> Result<(), Error> {
        let args = vec![MARK.into(), self.queue.keys().signs_of_life().into(), self.identity.uuid().into()];
        let suspects: Vec<String> = self.queue.eval(&script::SUSPECTS, args).await?;
        let ids: HashSet<u64> = suspects.iter().skip(1).step_by(2).filter_map(|token| client_id_of(token)).collect();
        if ids.is_empty() {
            return Ok(());
        }
        // A frozen worker shows no life either, but the kernel keeps its connection.
        let connected = self.connected(&ids).await?;
        let mut args = vec![self.max_stalls.into()];
        for job in suspects.chunks_exact(2) {
            if client_id_of(&job[1]).is_some_and(|id| !connected.contains(&id)) {
                args.extend([job[0].as_str().into(), job[1].as_str().into()]);
            }
        }
        if args.len() > 1 {
            let recovered: Vec<String> = self.queue.eval(&script::BURY, args).await?;
            self.report_recovered(&recovered);
        }
        Ok(())
    }

    /// Which of these connections the server still has.
    async fn connected(&self, ids: &HashSet<u64>) -> Result<HashSet<u64>, Error> {
        let mut args: Vec<Value> = vec!["LIST".into(), "ID".into()];
        args.extend(ids.iter().map(|id| Value::from(id.to_string())));
        let server = Route::Key(&self.queue.keys().of("meta"));
        let list: String = self.queue.connection().command("CLIENT", server, args).await?;
        Ok(list.lines().filter_map(|line| line.strip_prefix("id=")?.split(' ').next()?.parse().ok()).collect())
    }

    async fn extend(&self, claims: &[Claim]) -> Result<HashSet<String>, Error> {
        let mut args: Vec<Value> = vec![self.lock.as_millis().to_string().into()];
        args.extend(claims.iter().flat_map(|claim| [claim.id(), claim.token()]).map(Value::from));
        let lost: Vec<String> = self.queue.eval(&script::EXTEND, args).await?;
        Ok(lost.into_iter().collect())
    }

    fn report_recovered(&self, ids: &[String]) {
        self.counters.recovered(ids.len());
        for id in ids {
            tracing::warn!(job_id = id, "Recovered a job whose worker vanished");
        }
    }
}
