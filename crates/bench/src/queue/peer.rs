//! The peers that are measured, each as a child process.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
};

use anyhow::{Context, ensure};
use clap::ValueEnum;
use examhall_queue::{Connection, Queue};
use examhall_testkit::Redis;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child, Command},
};

use super::{ours, usage::Usage, work::Work};

/// Somebody who speaks BullMQ's protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Peer {
    /// examhall-queue
    Ours,
    /// bullmq 5.66.4 on Node.js
    #[value(name = "bullmq-5")]
    Bullmq5,
    /// bullmq 6.7.0 on Node.js
    #[value(name = "bullmq-6")]
    Bullmq6,
    /// The crate bullmq-official 1.4.4
    BullmqOfficial,
    /// A yardstick: two small scripts that write what BullMQ's layout asks for, and a bare client
    Minimal,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    /// Jobs a second.
    pub(crate) rate: f64,
    /// Redis commands a job.
    pub(crate) commands: f64,
    /// Processor time of Redis in µs a job.
    pub(crate) cpu_us: f64,
    /// Memory of the peer's process at the end, in MB; nothing where the system does not tell.
    pub(crate) memory_mb: Option<f64>,
}

impl Peer {
    /// As it is headed in the table.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Ours => "ours",
            Self::Bullmq5 => "bullmq 5.66.4",
            Self::Bullmq6 => "bullmq 6.7.0",
            Self::BullmqOfficial => "bullmq-official",
            Self::Minimal => "minimal Lua",
        }
    }

    /// Lets the peer do `count` jobs' worth of the work on an empty Redis.
    pub(crate) async fn measure(self, redis: &Redis, work: Work, count: u32) -> anyhow::Result<Sample> {
        redis.cmd::<String>("FLUSHALL SYNC").await;
        if let Work::Run(_) = work {
            fill(redis, count).await?;
        }
        let mut child =
            self.start(redis.port(), work, count).with_context(|| format!("{} cannot be started", self.label()))?;
        let mut lines = BufReader::new(child.stdout.take().context("stdout is piped")?).lines();
        let before = Usage::of(redis).await?;
        let line = lines.next_line().await?.with_context(|| format!("{} did not finish {work}", self.label()))?;
        let used = Usage::of(redis).await? - before;
        let memory_mb = child.id().and_then(memory_mb);
        drop(child.stdin.take()); // it ends when nobody reads from it any more
        let status = child.wait().await?;
        ensure!(status.success(), "{} ended with {status}", self.label());
        let done: u32 = redis.cmd(&work.done_by(ours::QUEUE)).await;
        ensure!(done == count, "{} did {done} of {count}: {work}", self.label());
        let report: Value = serde_json::from_str(&line)?;
        let seconds = report["seconds"].as_f64().context("a peer reports its seconds")?;
        let count = f64::from(count);
        Ok(Sample { rate: count / seconds, commands: used.commands / count, cpu_us: used.cpu_us / count, memory_mb })
    }

    fn start(self, port: u16, work: Work, count: u32) -> anyhow::Result<Child> {
        let peers = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers");
        let node = |package: &str| {
            let folder = peers.join("bullmq");
            ensure!(folder.join("node_modules").exists(), "BullMQ is not installed: run ./scripts/bench");
            let mut command = Command::new("node");
            command.arg(folder.join("peer.mjs")).arg(package);
            Ok(command)
        };
        let mut command = match self {
            Self::Ours | Self::Minimal => {
                let mut command = Command::new(std::env::current_exe()?);
                command.arg("peer").args((self == Self::Minimal).then_some("--minimal"));
                command
            }
            Self::Bullmq5 => node("bullmq-5")?,
            Self::Bullmq6 => node("bullmq")?,
            Self::BullmqOfficial => Command::new(official()?),
        };
        let (name, width) = work.to_args();
        command.args([port.to_string(), name.to_owned(), count.to_string(), width.to_string()]);
        Ok(command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?)
    }
}

fn official() -> anyhow::Result<PathBuf> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/peers/release");
    let program = target.join("bullmq-official-peer");
    ensure!(program.exists(), "{} is missing: run ./scripts/bench, which builds it", program.display());
    Ok(program)
}

/// The jobs that a worker is to run; the same for all.
async fn fill(redis: &Redis, count: u32) -> anyhow::Result<()> {
    let connection = Connection::open(&redis.url())?;
    connection.ready().await?;
    let queue: Queue<Value> = Queue::new(connection.clone(), "bull", ours::QUEUE)?;
    ours::add_in_bulk(&queue, count, 100).await?;
    connection.close().await;
    Ok(())
}

/// How much memory a process has, in MB, if Linux reports it.
fn memory_mb(pid: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let kb = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(kb.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}
