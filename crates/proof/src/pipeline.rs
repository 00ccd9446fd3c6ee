//! The whole pipeline, as it runs in production: two `api`, two mailers, Redis, a database, an SMTP server.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use examhall_testkit::{DatabaseKind, Process, Proxy, RedisOptions, World, eventually};
use serde_json::Value;
use tokio::process::Command;

use crate::{clock::Clock, log::Log, node::Node};

/// How long a busy machine may take to start a process.
const TIMEOUT: Duration = Duration::from_mins(2);
/// Locks of jobs end soon, so that what a dead mailer had is soon another's.
const LOCK: &str = "1000";

/// The servers and processes of one run.
pub(crate) struct Pipeline {
    pub(crate) world: World,
    /// Between everybody and Redis.
    pub(crate) proxy: Proxy,
    pub(crate) apis: [Running; 2],
    pub(crate) mailers: [Running; 2],
    /// Where Node programs use the queue, too.
    pub(crate) node: Option<Node>,
    /// Where the mailers go by one that is stepped.
    pub(crate) clock: Option<Clock>,
    programs: Programs,
    settings: Vec<(String, String)>,
}

/// Where `api` and `mailer` are.
#[derive(Clone, Debug)]
pub(crate) struct Programs(pub(crate) std::path::PathBuf);

/// A process, its port, and what its predecessors wrote.
pub(crate) struct Running {
    pub(crate) process: Process,
    pub(crate) base: String,
}

impl Pipeline {
    /// Starts it.
    pub(crate) async fn start(programs: Programs, database: DatabaseKind, fsync: &str) -> anyhow::Result<Self> {
        let args = ["--appendonly", "yes", "--appendfsync", fsync].map(str::to_owned).into();
        let world = World::start_with(database, RedisOptions { args, ..RedisOptions::default() }).await;
        let proxy = Proxy::start(world.redis.port()).await;
        let mut settings = world.settings();
        let own = [
            ("REDIS_URL", format!("redis://127.0.0.1:{}", proxy.port())),
            ("QUEUE_LOCK_MS", LOCK.to_owned()),
            ("QUEUE_STALLED_INTERVAL_MS", LOCK.to_owned()),
            ("TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
        ];
        settings.retain(|(name, _)| own.iter().all(|(other, _)| name != other));
        settings.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let api = async || Running::start(&programs, "api", &settings).await;
        let mailer = async || Running::start(&programs, "mailer", &settings).await;
        let apis = [api().await?, api().await?];
        let mailers = [mailer().await?, mailer().await?];
        Ok(Self { world, proxy, apis, mailers, node: None, clock: None, programs, settings })
    }

    /// Runs a command of one of the programs to its end; returns what it printed.
    pub(crate) async fn command(&self, program: &str, args: &[&str]) -> anyhow::Result<String> {
        let mut process = spawn(&self.programs, program, args, &self.settings);
        let status = process.exit(TIMEOUT).await;
        ensure!(status.success(), "{program} {args:?}: {}", process.output());
        Ok(process.output())
    }

    /// Kills an API (SIGKILL) and starts it again.
    pub(crate) async fn kill_api(&mut self, which: usize, log: &mut Log) -> anyhow::Result<()> {
        self.apis[which].end(log).await;
        self.apis[which] = Running::start(&self.programs, "api", &self.settings).await?;
        Ok(())
    }

    /// Kills a mailer (SIGKILL) and starts it again.
    pub(crate) async fn kill_mailer(&mut self, which: usize, log: &mut Log) -> anyhow::Result<()> {
        self.mailers[which].end(log).await;
        self.mailers[which] = self.mailer().await?;
        Ok(())
    }

    async fn mailer(&self) -> anyhow::Result<Running> {
        let mut settings = self.settings.clone();
        settings.extend(self.clock.iter().flat_map(Clock::settings));
        Running::start(&self.programs, "mailer", &settings).await
    }

    /// From now on the mailers go by a clock that can be stepped. For a pipeline that has done nothing yet.
    pub(crate) async fn falsify_clock(&mut self) -> anyhow::Result<()> {
        self.clock = Some(Clock::start().await?);
        for which in 0..2 {
            self.mailers[which].process.kill().await;
            self.mailers[which] = self.mailer().await?;
        }
        Ok(())
    }

    /// Reads what all have written since.
    pub(crate) fn read(&mut self, log: &mut Log) {
        if let Some(node) = &mut self.node {
            node.read();
        }
        self.apis.iter().chain(&self.mailers).for_each(|running| running.read(log));
        for mail in self.world.smtp.take() {
            log.accepted(&mail);
        }
    }

    /// The processes: APIs, then mailers.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.apis.iter().chain(&self.mailers).map(|running| running.process.pid()).collect()
    }

    /// Forgets what the processes wrote: an hour of it is large.
    pub(crate) fn forget_lines(&self) {
        self.apis.iter().chain(&self.mailers).for_each(|running| drop(running.process.take_lines()));
    }

    /// What a query of the database gives, line by line.
    pub(crate) async fn rows(&self, query: &str) -> Vec<String> {
        self.world.database.sql(query).await.lines().map(str::to_owned).collect()
    }
}

impl Running {
    async fn start(programs: &Programs, name: &str, settings: &[(String, String)]) -> anyhow::Result<Self> {
        let process = spawn(programs, name, &[], settings);
        let text = if name == "api" { "Server running on port" } else { "Mailer running" };
        let line = process.line(text).await;
        let port = if name == "api" { port_in(&line).context("the API names no port")? } else { 0 };
        Ok(Self { process, base: format!("http://127.0.0.1:{port}/api/v1") })
    }

    async fn end(&mut self, log: &mut Log) {
        self.process.kill().await;
        self.process.end_of_output().await;
        self.read(log);
    }

    fn read(&self, log: &mut Log) {
        self.process.take_lines().iter().for_each(|line| log.line(line));
    }
}

/// Waits until `found`, with time for a machine that is busy.
pub(crate) async fn wait_for(what: &str, found: impl AsyncFn() -> bool) {
    eventually(what, Duration::from_mins(10), async || found().await.then_some(())).await;
}

fn port_in(line: &str) -> Option<u16> {
    let line: Value = serde_json::from_str(line).ok()?;
    line["message"].as_str()?.rsplit(' ').next()?.parse().ok()
}

fn spawn(programs: &Programs, name: &str, args: &[&str], settings: &[(String, String)]) -> Process {
    let mut command = Command::new(Path::new(&programs.0).join(name));
    command.args(args).env_clear().envs(settings.iter().cloned()).current_dir(std::env::temp_dir());
    Process::spawn(name, &mut command)
}
