//! A Redis Cluster.

use std::time::Duration;

use crate::{Redis, RedisOptions, eventually};

const SLOTS: usize = 16_384;
const TIMEOUT: Duration = Duration::from_mins(1);

/// Masters that share the slots.
pub struct RedisCluster {
    /// Its nodes.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one with this many nodes.
    pub async fn start(size: usize) -> Self {
        let mut nodes: Vec<Redis> = Vec::new();
        for n in 0..size {
            let node = Redis::start_with(RedisOptions::cluster_node()).await;
            let (first, last) = (n * SLOTS / size, (n + 1) * SLOTS / size - 1);
            node.cmd::<String>(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            if let Some(known) = nodes.first() {
                known.cmd::<String>(&format!("CLUSTER MEET 127.0.0.1 {} {}", node.port(), node.further_port())).await;
            }
            nodes.push(node);
        }
        for node in &nodes {
            eventually("the cluster to be whole", TIMEOUT, async || {
                let info: String = node.cmd("CLUSTER INFO").await;
                let is_whole =
                    info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{size}"));
                is_whole.then_some(())
            })
            .await;
        }
        Self { nodes }
    }

    /// How to find it.
    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].port())
    }
}
