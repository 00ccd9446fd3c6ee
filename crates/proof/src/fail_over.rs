//! A Redis that Sentinel watches, with a replica that takes its place.
//!
//! Replication is asynchronous: the replica lacks what the master has answered last. For the model it is a Redis that is put
//! back to a copy.

use std::{mem::swap, time::Duration};

use examhall_testkit::{Proxy, Redis, Sentinel, eventually};
use time::OffsetDateTime;

use crate::put_back::PutBack;

/// Only the nemesis has it fail over, not a machine that is busy.
const SILENCE: Duration = Duration::from_mins(10);
/// What a replica that follows lags behind at most.
const LAG: Duration = Duration::from_secs(1);
/// How long a busy machine may take until a replica has what its master has.
const TIMEOUT: Duration = Duration::from_mins(10);

/// What is to take the master's place, and who puts it there.
pub(crate) struct Standby {
    /// Whose replica is the standby.
    sentinel: Sentinel,
    proxy: Proxy,
}

impl Standby {
    /// Has `replica` follow the master behind `master`; it is found through `proxy`, whose port it announces.
    pub(crate) async fn watch(master: &Proxy, replica: Redis, proxy: Proxy) -> Self {
        proxy.redirect(replica.port());
        Self { sentinel: Sentinel::watch_at(master.port(), replica, SILENCE).await, proxy }
    }

    /// Where the master is found.
    pub(crate) fn url(&self) -> String {
        self.sentinel.url()
    }

    /// Waits until it has what the master has: one that was killed, or put back, is copied once more.
    async fn follows(&self) {
        let is_following = async || self.sentinel.replica.is_following().await.then_some(());
        eventually("a replica that follows", TIMEOUT, is_following).await;
    }

    /// Kills the master, has Sentinel put the replica in its place, and starts the old one again.
    pub(crate) async fn replace_dead(&mut self, master: &mut Redis, proxy: &mut Proxy) -> PutBack {
        self.follows().await;
        let from = OffsetDateTime::now_utc() - LAG;
        // Nobody reaches it before the moment is noted: what is written before and after it must not be mixed up.
        proxy.sever();
        master.kill().await;
        let to = OffsetDateTime::now_utc();
        let at = self.swap(master, proxy).await;
        self.sentinel.replica.restart().await;
        self.proxy.accept();
        PutBack { from, to, at, until: at }
    }

    /// Has Sentinel put the replica in the place of a master that is well. Until that hears of it, some seconds later, there
    /// are two, and what it has answered meanwhile is lost.
    pub(crate) async fn replace_living(&mut self, master: &mut Redis, proxy: &mut Proxy) -> PutBack {
        self.follows().await;
        let from = OffsetDateTime::now_utc() - LAG;
        let at = self.swap(master, proxy).await;
        self.follows().await;
        PutBack { from, to: at, at, until: OffsetDateTime::now_utc() }
    }

    /// Has Sentinel fail over; returns since when the replica is the master, and the master the replica.
    async fn swap(&mut self, master: &mut Redis, proxy: &mut Proxy) -> OffsetDateTime {
        self.sentinel.fail_over().await;
        let at = OffsetDateTime::now_utc();
        swap(master, &mut self.sentinel.replica);
        swap(proxy, &mut self.proxy);
        at
    }
}
