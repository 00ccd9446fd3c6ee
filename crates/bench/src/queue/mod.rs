//! Our queue alongside its peers: rates, what a job costs Redis, and the memory of a worker.
//!
//! ```text
//!   measure ── for each round, for each work, for each peer, in turns
//!      ├── Peer::measure   a child process of the peer does the work and reports how long it took
//!      ├── Usage           what Redis has been asked and has spent, before and after
//!      └── table           medians, ratios, targets
//! ```
//! Every peer is a process of its own with the same command line: `<port> <work> <count> <width>`.

mod minimal;
mod ours;
mod peer;
mod table;
mod target;
mod usage;
mod work;

use std::{collections::BTreeMap, io::Read};

use anyhow::Context;
use examhall_testkit::{Redis, RedisOptions};
use serde_json::json;

pub(crate) use self::{peer::Peer, table::median};
use self::{
    peer::Sample,
    work::{WORKS, Work},
};

/// What is to be measured.
pub(crate) struct Plan {
    pub(crate) count: u32,
    pub(crate) rounds: u32,
    pub(crate) peers: Vec<Peer>,
    /// Redis writes an append-only file, synced every second.
    pub(crate) append_only: bool,
}

/// Every sample there is of a work by a peer.
type Samples = BTreeMap<(Work, Peer), Vec<Sample>>;

pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let args = if plan.append_only { &["--appendonly", "yes", "--appendfsync", "everysec"][..] } else { &[] };
    let args = args.iter().map(ToString::to_string).collect();
    let redis = Redis::start_with(RedisOptions { args, ..RedisOptions::default() }).await;
    let mut samples = Samples::new();
    for round in 0..plan.rounds as usize {
        println!("round {} of {} ...", round + 1, plan.rounds);
        for work in WORKS {
            // Each goes first as often as the others.
            for at in 0..plan.peers.len() {
                let peer = plan.peers[(at + round) % plan.peers.len()];
                let sample = peer.measure(&redis, *work, plan.count).await?;
                samples.entry((*work, peer)).or_default().push(sample);
            }
        }
    }
    table::print(plan, &samples);
    Ok(())
}

/// Does one work as our queue does it, or the yardstick; prints how long it took, and ends when stdin does.
pub(crate) async fn be_a_peer(minimal: bool, port: u16, work: &str, count: u32, width: u32) -> anyhow::Result<()> {
    let work = Work::from_args(work, width).context("add, bulk or run")?;
    let url = format!("redis://127.0.0.1:{port}");
    let seconds =
        if minimal { minimal::measure(&url, work, count).await? } else { ours::measure(&url, work, count).await? };
    println!("{}", json!({ "seconds": seconds }));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
