//! Redis with a replica, and a Sentinel that puts it in the master's place.

use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::{
    Process, Redis, eventually, free_port,
    redis::{command, connect, try_command},
    redis_server,
};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Watches a master, and replaces it by its replica once it has been silent for too long.
pub struct Sentinel {
    /// What it puts in the master's place.
    pub replica: Redis,
    port: u16,
    process: Process,
    _folder: TempDir,
}

impl Sentinel {
    /// Gives `master` a replica, and begins to watch both; three seconds of silence are too long.
    pub async fn watch(master: &Redis) -> Self {
        Self::watch_at(master.port(), Redis::start().await, Duration::from_secs(3)).await
    }

    /// Has `replica` follow the master at this port, which may be that of a proxy, and begins to watch both.
    pub async fn watch_at(master: u16, replica: Redis, silence: Duration) -> Self {
        replica.cmd::<String>(&format!("REPLICAOF 127.0.0.1 {master}")).await;
        eventually("the replica to follow", TIMEOUT, async || replica.is_following().await.then_some(())).await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("sentinel.conf");
        loop {
            let port = free_port();
            let text = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {master} 1\n\
                 sentinel down-after-milliseconds mymaster {}\nsentinel failover-timeout mymaster 5000\n",
                silence.as_millis()
            );
            std::fs::write(&config, text).expect("a temporary folder is writable");
            let process = Process::spawn("sentinel", Command::new(redis_server()).arg(&config).arg("--sentinel"));
            let (which, _) = process.one_of_lines(&["+slave slave", "Could not create server TCP"]).await;
            if which == 0 {
                return Self { replica, port, process, _folder: folder };
            }
        }
    }

    /// Whether it has put the replica in the master's place. Asking the replica itself would be a race: a Sentinel
    /// that promotes it closes the connections of all its clients.
    pub fn has_promoted(&self) -> bool {
        self.process.output().contains("+switch-master")
    }

    /// Has it put the replica in the master's place now, whether the master is there or not; returns once it leads there.
    pub async fn fail_over(&self) {
        let client = connect(self.port).await;
        let master =
            async || command::<Vec<String>>(&client, &["SENTINEL", "GET-MASTER-ADDR-BY-NAME", "mymaster"]).await;
        let before = master().await;
        eventually("a replica to promote", TIMEOUT, async || {
            // It refuses until it has heard from the replica lately, and while it does so already.
            try_command::<String>(&client, &["SENTINEL", "FAILOVER", "mymaster"]).await.ok()
        })
        .await;
        eventually("another master", TIMEOUT, async || (master().await != before).then_some(())).await;
        eventually("its answer", TIMEOUT, async || self.replica.try_cmd::<String>("PING").await.ok()).await;
    }

    /// How to find the master through it.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=mymaster", self.port)
    }
}
