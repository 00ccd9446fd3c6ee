//! Our queue alongside its peers: rates, what a job costs Redis, and the memory of a worker.
//!
//! ```text
//!   measure ── for each round, for each work, for each peer, in turns
//!      ├── Peer::measure   a child process of the peer does the work and reports how long it took
//!      ├── Usage           what Redis has been asked and has spent, before and after
//!      ├── table           medians, ratios, targets
//!      └── scale           ours alone: how late jobs start, a million in wait, ten processes
//! ```
//! Every peer is a process of its own with the same command line: `<port> <work> <count> <width>`.

mod minimal;
mod ours;
mod peer;
mod scale;
mod table;
mod target;
mod usage;
mod work;

use std::{collections::BTreeMap, io::Read};

use anyhow::Context;
use clap::ValueEnum;
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
    /// Also how late jobs start, a million in wait, and ten processes.
    pub(crate) scale: bool,
    /// When Redis syncs its append-only file, if it keeps one.
    pub(crate) append_only: Option<Fsync>,
}

/// Redis's `appendfsync`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fsync {
    /// Every second
    Everysec,
    /// Before each answer
    Always,
}

impl Fsync {
    fn name(self) -> &'static str {
        match self {
            Self::Everysec => "everysec",
            Self::Always => "always",
        }
    }
}

/// Every sample there is of a work by a peer.
type Samples = BTreeMap<(Work, Peer), Vec<Sample>>;

pub(crate) async fn measure(plan: &Plan) -> anyhow::Result<()> {
    let fsync = plan.append_only.map(|fsync| ["--appendonly", "yes", "--appendfsync", fsync.name()]);
    let args = fsync.into_iter().flatten().map(str::to_owned).collect();
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
    if plan.scale { scale::measure(&redis, plan.count, plan.rounds).await } else { Ok(()) }
}

/// Does one work as our queue does it, or the yardstick; prints how long it took, and ends when stdin does.
pub(crate) async fn be_a_peer(minimal: bool, port: u16, work: &str, count: u32, width: u32) -> anyhow::Result<()> {
    let url = format!("redis://127.0.0.1:{port}");
    if work == "share" {
        return scale::be_one(&url, width).await;
    }
    let work = Work::from_args(work, width).context("add, bulk, run or share")?;
    let seconds =
        if minimal { minimal::measure(&url, work, count).await? } else { ours::measure(&url, work, count).await? };
    println!("{}", json!({ "seconds": seconds }));
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
