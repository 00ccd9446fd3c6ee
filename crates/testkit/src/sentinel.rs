//! Redis with a replica, and a Sentinel that puts it in the master's place.

use std::time::Duration;

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Process, Redis, RedisOptions, eventually, free_port, redis_server};

const TIMEOUT: Duration = Duration::from_mins(1);

/// Watches a master, and replaces it by its replica once it has been silent for three seconds.
pub struct Sentinel {
    /// What it puts in the master's place.
    pub replica: Redis,
    port: u16,
    process: Process,
    _folder: TempDir,
}

impl Sentinel {
    /// Gives `master` a replica, and begins to watch both.
    pub async fn watch(master: &Redis) -> Self {
        let args = vec!["--replicaof".into(), "127.0.0.1".into(), master.port().to_string()];
        let replica = Redis::start_with(RedisOptions { args, ..RedisOptions::default() }).await;
        eventually("the replica to follow", TIMEOUT, async || {
            replica.cmd::<String>("INFO replication").await.contains("master_link_status:up").then_some(())
        })
        .await;
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("sentinel.conf");
        loop {
            let port = free_port();
            let text = format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor mymaster 127.0.0.1 {} 1\n\
                 sentinel down-after-milliseconds mymaster 3000\nsentinel failover-timeout mymaster 5000\n",
                master.port()
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

    /// How to find the master through it.
    pub fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}?sentinelServiceName=mymaster", self.port)
    }
}
