//! Two Redis servers, and what happens to them.

use std::time::Duration;

use examhall_testkit::{Proxy, Redis};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Fault {
    Cut,
    Sever,
    Silence,
    Freeze,
    Kill,
    Flush,
    Full,
    ReadOnly,
    FailOver,
    SplitBrain,
    Snapshot,
}

pub(super) const FAULTS: [Fault; 11] = [
    Fault::Cut,
    Fault::Sever,
    Fault::Silence,
    Fault::Freeze,
    Fault::Kill,
    Fault::Flush,
    Fault::Full,
    Fault::ReadOnly,
    Fault::FailOver,
    Fault::SplitBrain,
    Fault::Snapshot,
];

/// Two servers, one of which is the master, and the link of each process to it.
pub(super) struct Servers {
    redis: [Redis; 2],
    master: usize,
    links: [Proxy; 2],
    pub(super) chance: fastrand::Rng,
}

impl Servers {
    pub(super) async fn start(seed: u64) -> Self {
        let redis = [Redis::start().await, Redis::start().await];
        let links = [Proxy::start(redis[0].port()).await, Proxy::start(redis[0].port()).await];
        let servers = Self { redis, master: 0, links, chance: fastrand::Rng::with_seed(seed) };
        servers.follow(1, 0).await;
        servers
    }

    pub(super) fn urls(&self) -> [Option<String>; 2] {
        [0, 1].map(|link| Some(format!("redis://127.0.0.1:{}", self.links[link].port())))
    }

    fn master(&self) -> &Redis {
        &self.redis[self.master]
    }

    async fn follow(&self, replica: usize, master: usize) {
        self.redis[replica].cmd::<String>(&format!("REPLICAOF 127.0.0.1 {}", self.redis[master].port())).await;
    }

    /// Lets a random time pass: moments that no condition would choose are what is tested.
    pub(super) async fn pass(&mut self, from_ms: u64, to_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.chance.u64(from_ms..to_ms))).await;
    }

    /// Makes one thing fail, and mends it.
    pub(super) async fn suffer(&mut self, fault: Fault) {
        match fault {
            Fault::Cut => self.links.iter().for_each(Proxy::cut),
            Fault::Sever => {
                self.links.iter().for_each(Proxy::sever);
                self.pass(100, 3_000).await;
                self.links.iter().for_each(Proxy::accept);
            }
            Fault::Silence => self.links[self.chance.usize(..2)].silence(),
            Fault::Freeze => {
                self.master().process().freeze();
                self.pass(100, 5_000).await;
                self.master().process().thaw();
            }
            Fault::Kill => {
                self.redis[self.master].kill().await;
                self.pass(0, 1_000).await;
                self.redis[self.master].restart().await;
            }
            Fault::Flush => drop(self.master().cmd::<String>("FLUSHALL").await),
            Fault::Full => {
                self.master().cmd::<String>("CONFIG SET maxmemory 1").await;
                self.pass(500, 3_000).await;
                self.master().cmd::<String>("CONFIG SET maxmemory 0").await;
            }
            Fault::ReadOnly => {
                self.master().cmd::<String>("REPLICAOF 127.0.0.1 1").await;
                self.pass(500, 4_000).await;
                self.master().cmd::<String>("REPLICAOF NO ONE").await;
            }
            Fault::FailOver | Fault::SplitBrain => self.promote_the_other(fault == Fault::SplitBrain).await,
            Fault::Snapshot => self.restore_a_snapshot().await,
        }
    }

    /// The replica becomes the master, with what it has received; the old one goes on for a time, for one process or for
    /// the connections that are there.
    async fn promote_the_other(&mut self, splits: bool) {
        let (old, new) = (self.master, 1 - self.master);
        self.redis[new].cmd::<String>("REPLICAOF NO ONE").await;
        let first = self.chance.usize(..2);
        self.links[first].redirect(self.redis[new].port());
        if splits {
            self.links[first].cut();
            self.pass(500, 4_000).await;
        }
        self.links[1 - first].redirect(self.redis[new].port());
        if self.chance.bool() {
            self.links.iter().for_each(Proxy::cut);
        }
        self.pass(0, 2_000).await;
        self.follow(old, new).await;
        self.master = new;
    }

    /// The master goes back to what it had some seconds ago.
    async fn restore_a_snapshot(&mut self) {
        let file = self.master().folder().join("dump.rdb");
        self.master().cmd::<String>("SAVE").await;
        let old = std::fs::read(&file).expect("it was saved");
        self.pass(1_000, 5_000).await;
        self.redis[self.master].kill().await;
        std::fs::write(&file, old).expect("a folder of its own");
        self.redis[self.master].restart().await;
        std::fs::remove_file(file).expect("it was written");
    }
}
