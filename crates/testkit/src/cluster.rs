//! A Redis Cluster.

use std::time::Duration;

use crate::{Redis, RedisOptions, eventually};

const SLOTS: usize = 16_384;
const TIMEOUT: Duration = Duration::from_mins(1);

/// Masters that share the slots, and their replicas.
pub struct RedisCluster {
    /// Its masters; then, if there are replicas, one of each in the same order.
    pub nodes: Vec<Redis>,
}

impl RedisCluster {
    /// Starts one with this many masters and no replica.
    pub async fn start(size: usize) -> Self {
        Self::start_nodes(size, size, RedisOptions::cluster_node()).await
    }

    /// Starts one with this many masters, each with a replica that takes over some seconds after its master has died.
    pub async fn start_with_replicas(masters: usize) -> Self {
        let mut options = RedisOptions::cluster_node();
        options.args.extend(["--cluster-node-timeout", "1500", "--repl-diskless-sync-delay", "0"].map(str::to_owned));
        let cluster = Self::start_nodes(masters, 2 * masters, options).await;
        for n in 0..masters {
            cluster.nodes[masters + n].cmd::<String>(&format!("CLUSTER REPLICATE {}", cluster.id(n).await)).await;
        }
        for replica in &cluster.nodes[masters..] {
            eventually("the replica to be in step", TIMEOUT, async || {
                let info: String = replica.cmd("INFO replication").await;
                info.contains("master_link_status:up").then_some(())
            })
            .await;
        }
        for node in &cluster.nodes {
            eventually("the replicas to be known", TIMEOUT, async || {
                let known: String = node.cmd("CLUSTER NODES").await;
                (known.matches("slave ").count() == masters).then_some(())
            })
            .await;
        }
        cluster
    }

    /// Starts masters, and further nodes without slots.
    async fn start_nodes(masters: usize, size: usize, options: RedisOptions) -> Self {
        let mut nodes: Vec<Redis> = Vec::new();
        for n in 0..size {
            let node = Redis::start_with(options.clone()).await;
            if n < masters {
                let (first, last) = (n * SLOTS / masters, (n + 1) * SLOTS / masters - 1);
                node.cmd::<String>(&format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            }
            if let Some(known) = nodes.first() {
                let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", node.port(), node.further_port());
                known.cmd::<String>(&meet).await;
            }
            nodes.push(node);
        }
        let cluster = Self { nodes };
        cluster.is_whole().await;
        cluster
    }

    /// Adds a master without slots.
    pub async fn add_node(&mut self) {
        let node = Redis::start_with(RedisOptions::cluster_node()).await;
        let meet = format!("CLUSTER MEET 127.0.0.1 {} {}", node.port(), node.further_port());
        self.nodes[0].cmd::<String>(&meet).await;
        self.nodes.push(node);
        self.is_whole().await;
    }

    /// Waits until every node knows all others and sees all slots served.
    async fn is_whole(&self) {
        let known = format!("cluster_known_nodes:{}", self.nodes.len());
        for node in &self.nodes {
            eventually("the cluster to be whole", TIMEOUT, async || {
                let info: String = node.cmd("CLUSTER INFO").await;
                (info.contains("cluster_state:ok") && info.contains(&known)).then_some(())
            })
            .await;
        }
    }

    /// Waits until a node is a master: a replica takes over from one that was killed.
    pub async fn is_master(&self, node: usize) {
        eventually("the node to be a master", TIMEOUT, async || {
            let role: String = self.nodes[node].cmd("INFO replication").await;
            role.contains("role:master").then_some(())
        })
        .await;
    }

    /// Moves a slot with its keys from one master to another (Redis Cluster specification, "Cluster live reconfiguration").
    pub async fn move_slot(&self, slot: u16, from: usize, to: usize) {
        self.begin_move(slot, from, to).await;
        let (source, target, id) = (&self.nodes[from], &self.nodes[to], self.id(to).await);
        let port = target.port().to_string();
        loop {
            let keys: Vec<String> = source.cmd(&format!("CLUSTER GETKEYSINSLOT {slot} 100")).await;
            if keys.is_empty() {
                break;
            }
            let head = ["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            let words: Vec<&str> = head.into_iter().chain(keys.iter().map(String::as_str)).collect();
            source.command::<String>(&words).await;
        }
        for node in [target, source] {
            node.cmd::<String>(&format!("CLUSTER SETSLOT {slot} NODE {id}")).await;
        }
    }

    /// Begins to move a slot: from now on its keys may be on either node.
    pub async fn begin_move(&self, slot: u16, from: usize, to: usize) {
        let ids = (self.id(from).await, self.id(to).await);
        self.nodes[to].cmd::<String>(&format!("CLUSTER SETSLOT {slot} IMPORTING {}", ids.0)).await;
        self.nodes[from].cmd::<String>(&format!("CLUSTER SETSLOT {slot} MIGRATING {}", ids.1)).await;
    }

    async fn id(&self, node: usize) -> String {
        self.nodes[node].cmd("CLUSTER MYID").await
    }

    /// How to find it.
    pub fn url(&self) -> String {
        format!("redis-cluster://127.0.0.1:{}", self.nodes[0].port())
    }
}
