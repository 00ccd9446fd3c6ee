//! Mails from the queue to an SMTP server, alongside BullMQ's worker with nodemailer's pool: the same jobs, the same Redis,
//! the same server, one after the other.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use examhall_queue::{Connection, JobOptions, NewJob, Queue};
use examhall_testkit::{Action, Phase, Process, Redis, SmtpServer};
use serde_json::{Value, json};
use tokio::process::Command;

/// Mails in flight.
const SLOTS: u32 = 5;
/// Time after which the accepted mails are counted, even where there are more.
const LONGEST: Duration = Duration::from_secs(15);
/// How often it is looked whether all are accepted.
const LOOK: Duration = Duration::from_millis(5);
/// Jobs in one call where they are added in bulk.
const BULK: usize = 500;

/// Who sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sender {
    Mailer,
    /// By the names of the two packages.
    Node(&'static str, &'static str),
}

/// Peers that ours is measured with, the newest last.
const PEERS: [(&str, Sender); 2] = [
    ("bullmq 5 + nodemailer 7", Sender::Node("bullmq-5", "nodemailer-7")),
    ("bullmq 6 + nodemailer 10", Sender::Node("bullmq", "nodemailer")),
];

/// How slow the server is.
#[derive(Clone, Copy, Debug)]
struct Delay {
    name: &'static str,
    each_reply: Duration,
    final_reply: Duration,
    /// How many replies of a mail are waited for, one after the other.
    waits: f64,
}

struct Measured {
    per_second: f64,
    cpu_ms: f64,
    resident_mb: f64,
}

struct World {
    redis: Redis,
    smtp: SmtpServer,
    queue: Queue<Value>,
}

pub(crate) async fn measure(count: u32) -> anyhow::Result<()> {
    let ms = Duration::from_millis;
    // A mail has four replies: to MAIL, RCPT, DATA and the message.
    let delays = [
        Delay { name: "no delay", each_reply: ms(0), final_reply: ms(0), waits: 0.0 },
        Delay { name: "final +50 ms", each_reply: ms(0), final_reply: ms(50), waits: 1.0 },
        Delay { name: "each +20 ms", each_reply: ms(20), final_reply: ms(20), waits: 4.0 },
    ];
    crate::title("5 slots", &["mails/s", "CPU ms/mail", "MB"]);
    for delay in delays {
        let ours = run(Sender::Mailer, delay, count).await?;
        crate::row(&format!("{}, examhall", delay.name), &[ours.per_second, ours.cpu_ms, ours.resident_mb]);
        if delay.waits > 0.0 {
            let ideal = f64::from(SLOTS) / (delay.waits * took(delay.final_reply).await);
            crate::row("  ideal, and what part of it that is", &[ideal, ours.per_second / ideal]);
        }
        for (name, peer) in PEERS {
            let node = run(peer, delay, count).await?;
            crate::row(&format!("{}, {name}", delay.name), &[node.per_second, node.cpu_ms, node.resident_mb]);
            let ratios =
                [ours.per_second / node.per_second, node.cpu_ms / ours.cpu_ms, node.resident_mb / ours.resident_mb];
            crate::row("  ours is times as good", &ratios);
        }
    }
    cold_start().await?;
    pick_up().await?;
    overtake(count * 5).await
}

async fn run(sender: Sender, delay: Delay, mails: u32) -> anyhow::Result<Measured> {
    let world = World::start(delay).await?;
    world.add(mails, 0).await?;
    let process = world.spawn(sender)?;
    let accepted = world.smtp.accepted();
    let first = *accepted.clone().wait_for(|count| *count > 0).await?;
    let started = Instant::now();
    while *accepted.borrow() < mails as usize && started.elapsed() < LONGEST {
        tokio::time::sleep(LOOK).await; // to be woken by each mail would cost as much as to take it
    }
    let (last, seconds) = (*accepted.borrow(), started.elapsed().as_secs_f64());
    let (cpu, resident_mb) = used(process.pid())?;
    let (sent, all) = (u32::try_from(last - first)?, u32::try_from(last)?);
    Ok(Measured { per_second: f64::from(sent) / seconds, cpu_ms: cpu * 1000.0 / f64::from(all), resident_mb })
}

/// The seconds that the server waits where it is to wait for `span`: timers have a grain of their own.
async fn took(span: Duration) -> f64 {
    let started = Instant::now();
    for _ in 0..20 {
        tokio::time::sleep(span).await;
    }
    started.elapsed().as_secs_f64() / 20.0
}

/// From starting a mailer to the acceptance of the mail that waits for it.
async fn cold_start() -> anyhow::Result<()> {
    let (world, mut times) = (World::start(Delay::NONE).await?, Vec::new());
    let mut accepted = world.smtp.accepted();
    for n in 1..=20_usize {
        world.add(1, 0).await?;
        let started = Instant::now();
        let _process = world.spawn(Sender::Mailer)?;
        accepted.wait_for(|count| *count >= n).await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    crate::title("from start to first acceptance", &["p50 ms", "max ms"]);
    crate::row("examhall", &[times[10], times[19]]);
    Ok(())
}

/// From adding a job to an idle mailer to the acceptance of its mail.
async fn pick_up() -> anyhow::Result<()> {
    let world = World::start(Delay::NONE).await?;
    let process = world.spawn(Sender::Mailer)?;
    process.line("Mailer running").await;
    let (mut accepted, mut times) = (world.smtp.accepted(), Vec::new());
    for n in 1..=200_usize {
        tokio::time::sleep(Duration::from_millis(20)).await; // so that it is idle
        let started = Instant::now();
        world.add(1, 0).await?;
        accepted.wait_for(|count| *count >= n).await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    crate::title("from the queue to acceptance, idle", &["p50 ms", "p99 ms"]);
    crate::row("examhall", &[times[100], times[197]]);
    Ok(())
}

/// How long the most urgent mail takes that is added behind very many others.
async fn overtake(others: u32) -> anyhow::Result<()> {
    let send_time = Duration::from_millis(50);
    let world = World::start(Delay { final_reply: send_time, ..Delay::NONE }).await?;
    world.add(others, 10).await?;
    let mut times = Vec::new();
    for _ in 0..200 {
        let started = Instant::now();
        world.add(1, 5).await?;
        times.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    times.sort_by(f64::total_cmp);
    crate::title(&format!("adding one mail behind {others}"), &["p50 ms", "p99 ms"]);
    crate::row("examhall", &[times[100], times[197]]);
    let _process = world.spawn(Sender::Mailer)?;
    world.smtp.accepted().wait_for(|count| *count >= 20).await?;
    let started = Instant::now();
    let job = job("urgent@example.com", 1);
    world.queue.add(job).await?;
    let mut accepted = world.smtp.accepted();
    while !world.smtp.received().iter().any(|mail| mail.to[0].starts_with("urgent@")) {
        accepted.changed().await?;
    }
    let waited = started.elapsed().as_secs_f64() * 1000.0;
    crate::title(&format!("urgent mail behind {others}"), &["ms to accept", "send time"]);
    crate::row("examhall", &[waited, send_time.as_secs_f64() * 1000.0]);
    Ok(())
}

impl Delay {
    const NONE: Self = Self { name: "", each_reply: Duration::ZERO, final_reply: Duration::ZERO, waits: 0.0 };
}

impl World {
    async fn start(delay: Delay) -> anyhow::Result<Self> {
        let (redis, smtp) = (Redis::start().await, SmtpServer::start().await);
        smtp.behave(move |phase, _| {
            let wait = match phase {
                Phase::EndOfData => delay.final_reply,
                Phase::Body => Duration::ZERO, // no reply comes before the end of data
                _ => delay.each_reply,
            };
            if wait.is_zero() { Action::Proceed } else { Action::Wait(wait) }
        });
        let connection = Connection::open(&redis.url())?;
        connection.ready().await?;
        Ok(Self { queue: Queue::new(connection, "bull", "email")?, redis, smtp })
    }

    async fn add(&self, mails: u32, priority: u32) -> anyhow::Result<()> {
        let jobs: Vec<_> = (0..mails).map(|n| job(&format!("s{n}@example.com"), priority)).collect();
        for bulk in jobs.chunks(BULK) {
            self.queue.add_all(bulk).await?;
        }
        Ok(())
    }

    fn spawn(&self, sender: Sender) -> anyhow::Result<Process> {
        Ok(match sender {
            Sender::Mailer => {
                let settings = [
                    ("REDIS_URL", self.redis.url()),
                    ("SMTP_URL", self.smtp.url()),
                    ("MAILER_OPS_BIND", "127.0.0.1:0".to_owned()),
                    ("MAILER_CONCURRENCY", SLOTS.to_string()),
                    ("RUST_LOG", "warn,examhall_mailer::app=info".to_owned()),
                    ("LOG_FORMAT", "json".to_owned()),
                ];
                let mut command = Command::new(alongside("mailer")?);
                command.env_clear().envs(settings).current_dir(std::env::temp_dir());
                Process::spawn("mailer", &mut command)
            }
            Sender::Node(bullmq, nodemailer) => {
                let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/nodemailer/worker.mjs");
                ensure!(script.with_file_name("node_modules").exists(), "run scripts/bench, which installs the peers");
                let (redis, slots) = (self.redis.port().to_string(), SLOTS.to_string());
                let smtp = self.smtp.port().to_string();
                let mut command = Command::new("node");
                command.arg(script).args([&redis, &smtp, &slots, bullmq, nodemailer]);
                Process::spawn("node", &mut command)
            }
        })
    }
}

fn job(to: &str, priority: u32) -> NewJob<Value> {
    let options = JobOptions::default().priority(priority);
    NewJob::new("send-email", mail(to)).options(options)
}

fn mail(to: &str) -> Value {
    let text = "Your result is ready. ".repeat(20);
    json!({"to": to, "subject": "Your result", "html": format!("<p>{text}</p>"), "text": text})
}

/// A program that was built with this one.
pub(crate) fn alongside(name: &str) -> anyhow::Result<PathBuf> {
    let path = std::env::current_exe()?.with_file_name(name);
    ensure!(path.exists(), "{} is missing: run scripts/bench", path.display());
    Ok(path)
}

/// CPU seconds that a process has used, and the most memory it had, in MB.
fn used(pid: u32) -> anyhow::Result<(f64, f64)> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("no peak size")?;
    let kilobytes: f64 = peak.trim().trim_end_matches(" kB").parse()?;
    Ok((crate::usage::cpu(pid)?, kilobytes / 1024.0))
}
