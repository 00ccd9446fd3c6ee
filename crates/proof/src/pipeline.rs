//! The whole pipeline, as it runs in production: two `api`, two mailers, Redis, a database, an SMTP server.

use std::{path::Path, time::Duration};

use anyhow::{Context, ensure};
use examhall_testkit::{DatabaseKind, Process, Proxy, Redis, RedisOptions, World};
use serde_json::Value;
use tokio::process::Command;

use crate::{
    clock::{Clocks, Owner},
    fail_over::Standby,
    log::Log,
    node::Node,
};

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
    /// Where Sentinel watches Redis.
    pub(crate) standby: Option<Standby>,
    pub(crate) starter: Starter,
}

/// Of what it is made.
#[derive(Debug)]
pub(crate) struct Options {
    pub(crate) programs: Programs,
    pub(crate) database: DatabaseKind,
    /// Redis' `appendfsync`.
    pub(crate) fsync: String,
    /// Whether each process but the database has a clock that can be stepped.
    pub(crate) has_clocks: bool,
    /// Whether Redis has a replica, and Sentinel that puts it in its place.
    pub(crate) has_sentinel: bool,
}

/// With what the processes are started.
pub(crate) struct Starter {
    programs: Programs,
    settings: Vec<(String, String)>,
    pub(crate) clocks: Option<Clocks>,
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
    pub(crate) async fn start(options: Options) -> anyhow::Result<Self> {
        let Options { programs, database, fsync, has_clocks, has_sentinel } = options;
        let clocks = if has_clocks { Some(Clocks::start().await?) } else { None };
        let (proxy, other) = (Proxy::start(0).await, Proxy::start(0).await);
        let redis = |proxy: &Proxy| {
            let announced =
                ["--replica-announce-ip", "127.0.0.1", "--replica-announce-port", &proxy.port().to_string()];
            // A replica does not wait for others that may come.
            let args = ["--appendonly", "yes", "--appendfsync", &fsync, "--repl-diskless-sync-delay", "0"];
            let args = args.into_iter().chain(announced);
            let environment = clocks.iter().flat_map(|clocks| clocks.settings(Owner::Redis)).collect();
            RedisOptions { args: args.map(str::to_owned).collect(), environment, ..RedisOptions::default() }
        };
        let world = World::start_with(database, redis(&proxy)).await;
        proxy.redirect(world.redis.port());
        let standby = if has_sentinel {
            Some(Standby::watch(&proxy, Redis::start_with(redis(&other)).await, other).await)
        } else {
            None
        };
        let url = standby.as_ref().map_or_else(|| format!("redis://127.0.0.1:{}", proxy.port()), Standby::url);
        let mut settings = world.settings();
        let own = [
            ("REDIS_URL", url),
            ("QUEUE_LOCK_MS", LOCK.to_owned()),
            ("QUEUE_STALLED_INTERVAL_MS", LOCK.to_owned()),
            ("TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
        ];
        settings.retain(|(name, _)| own.iter().all(|(other, _)| name != other));
        settings.extend(own.map(|(name, value)| (name.to_owned(), value)));
        let starter = Starter { programs, settings, clocks };
        let apis = [starter.start(Owner::Api(0)).await?, starter.start(Owner::Api(1)).await?];
        let mailers = [starter.start(Owner::Mailer(0)).await?, starter.start(Owner::Mailer(1)).await?];
        Ok(Self { world, proxy, apis, mailers, node: None, standby, starter })
    }

    /// Runs a command of one of the programs to its end; returns what it printed.
    pub(crate) async fn command(&self, program: &str, args: &[&str]) -> anyhow::Result<String> {
        let mut process = self.starter.spawn(program, args, []);
        let status = process.exit(TIMEOUT).await;
        ensure!(status.success(), "{program} {args:?}: {}", process.output());
        Ok(process.output())
    }

    /// Kills an API (SIGKILL) and starts it again.
    pub(crate) async fn kill_api(&mut self, which: usize, log: &mut Log) -> anyhow::Result<()> {
        self.apis[which].end(log).await;
        self.apis[which] = self.starter.start(Owner::Api(which)).await?;
        Ok(())
    }

    /// Kills a mailer (SIGKILL) and starts it again.
    pub(crate) async fn kill_mailer(&mut self, which: usize, log: &mut Log) -> anyhow::Result<()> {
        self.mailers[which].end(log).await;
        self.mailers[which] = self.starter.start(Owner::Mailer(which)).await?;
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

impl Starter {
    async fn start(&self, owner: Owner) -> anyhow::Result<Running> {
        let (name, text) = match owner {
            Owner::Api(_) => ("api", "Server running on port"),
            _ => ("mailer", "Mailer running"),
        };
        let process = self.spawn(name, &[], self.clocks.iter().flat_map(|clocks| clocks.settings(owner)));
        let line = process.line(text).await;
        let port = if name == "api" { port_in(&line).context("the API names no port")? } else { 0 };
        Ok(Running { process, base: format!("http://127.0.0.1:{port}/api/v1") })
    }

    fn spawn(&self, name: &str, args: &[&str], more: impl IntoIterator<Item = (String, String)>) -> Process {
        let mut command = Command::new(Path::new(&self.programs.0).join(name));
        command.args(args).env_clear().envs(self.settings.iter().cloned()).envs(more);
        Process::spawn(name, command.current_dir(std::env::temp_dir()))
    }
}

impl Running {
    async fn end(&mut self, log: &mut Log) {
        self.process.kill().await;
        self.process.end_of_output().await;
        self.read(log);
    }

    fn read(&self, log: &mut Log) {
        self.process.take_lines().iter().for_each(|line| log.line(line));
    }
}

fn port_in(line: &str) -> Option<u16> {
    let line: Value = serde_json::from_str(line).ok()?;
    line["message"].as_str()?.rsplit(' ').next()?.parse().ok()
}
