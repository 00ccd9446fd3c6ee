//! A real Redis, one per test.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use fred::{
    clients::Client,
    interfaces::ClientLike,
    types::{
        Builder, CustomCommand, FromValue, Value,
        config::{Config, ReconnectPolicy},
    },
};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Process, free_port};

/// How the server keeps its data and what it takes.
#[derive(Clone, Debug, Default)]
pub struct RedisOptions {
    /// Append-only file with a sync per write: everything it has answered survives [`Redis::kill`].
    pub append_only: bool,
    /// Further command-line arguments, such as `["--requirepass", "x"]`.
    pub args: Vec<String>,
    /// Further variables of its environment.
    pub environment: Vec<(String, String)>,
    /// An argument that takes a further port, such as `--tls-port`.
    pub further_port: Option<&'static str>,
}

impl RedisOptions {
    /// A node of a cluster, whose nodes speak with one another on the further port.
    pub fn cluster_node() -> Self {
        let args = ["--cluster-enabled", "yes", "--cluster-announce-ip", "127.0.0.1"];
        Self { args: args.map(str::to_owned).into(), further_port: Some("--cluster-port"), ..Self::default() }
    }
}

/// A redis-server (or valkey-server) with a folder and a port of its own; ends with the test.
pub struct Redis {
    process: Process,
    folder: TempDir,
    port: u16,
    further_port: u16,
    options: RedisOptions,
    client: Client,
}

impl Redis {
    /// Starts one that keeps nothing on disk.
    pub async fn start() -> Self {
        Self::start_with(RedisOptions::default()).await
    }

    /// Starts one.
    pub async fn start_with(options: RedisOptions) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        loop {
            let (port, further_port) = (free_port(), free_port());
            let process = spawn(&folder, (port, further_port), &options);
            if is_ready(&process).await {
                let client = connect(port).await;
                return Self { process, folder, port, further_port, options, client };
            }
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of [`RedisOptions::further_port`].
    pub fn further_port(&self) -> u16 {
        self.further_port
    }

    /// Where it keeps its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its process: to freeze and thaw it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it at once (SIGKILL). Its port stays its own: [`restart`](Self::restart) uses it again.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again on the same port, with what it had on disk.
    pub async fn restart(&mut self) {
        self.process.kill().await;
        self.process = spawn(&self.folder, (self.port, self.further_port), &self.options);
        assert!(is_ready(&self.process).await, "redis does not start again:\n{}", self.process.output());
        self.client = connect(self.port).await;
    }

    /// Sends one command, words separated by white space, and returns the answer. Fails the test on an error.
    ///
    /// Use [`command`](Self::command) where an argument holds white space.
    pub async fn cmd<T: FromValue>(&self, line: &str) -> T {
        self.command(&line.split_whitespace().collect::<Vec<_>>()).await
    }

    /// Sends one command and returns the answer. Fails the test on an error.
    pub async fn command<T: FromValue>(&self, words: &[&str]) -> T {
        command(&self.client, words).await
    }

    /// Whether it follows another one, and has what that has. A Sentinel that makes it do so closes its connections.
    pub async fn is_following(&self) -> bool {
        self.try_cmd::<String>("INFO replication").await.is_ok_and(|info| info.contains("master_link_status:up"))
    }

    /// As [`cmd`](Self::cmd), where it may be away.
    pub(crate) async fn try_cmd<T: FromValue>(&self, line: &str) -> Result<T, fred::error::Error> {
        try_command(&self.client, &line.split_whitespace().collect::<Vec<_>>()).await
    }

    /// Stores bytes under a key, without an end.
    pub async fn set(&self, key: &str, bytes: Vec<u8>) {
        let (command, bytes) = (CustomCommand::new("SET", None, false), Value::Bytes(bytes.into()));
        let stored: Result<String, _> = self.client.custom(command, vec![key.into(), bytes]).await;
        stored.unwrap_or_else(|error| panic!("SET {key}: {error}"));
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        drop(self.client.quit()); // only lets go of the connection; the server is killed with its process
    }
}

fn spawn(folder: &TempDir, (port, further_port): (u16, u16), options: &RedisOptions) -> Process {
    let mut command = Command::new(redis_server());
    command.current_dir(folder.path()).args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""]);
    command.args(["--maxmemory-policy", "noeviction", "--daemonize", "no", "--logfile", ""]);
    if options.append_only {
        command.args(["--appendonly", "yes", "--appendfsync", "always"]);
    }
    if let Some(name) = options.further_port {
        command.args([name, &further_port.to_string()]);
    }
    Process::spawn("redis-server", command.args(&options.args).envs(options.environment.iter().cloned()))
}

/// Whether it listens; not if somebody else has taken a port meanwhile.
async fn is_ready(process: &Process) -> bool {
    let (which, _) =
        process.one_of_lines(&["Ready to accept connections", "Could not create server TCP listening socket"]).await;
    which == 0
}

/// The program that each [`Redis`] runs: a redis-server or valkey-server.
pub fn redis_server() -> PathBuf {
    let given = std::env::var_os("EXAMHALL_REDIS_SERVER").map(PathBuf::from);
    given
        .or_else(|| find(&["redis-server", "valkey-server"]))
        .unwrap_or_else(|| panic!("no redis-server or valkey-server on PATH: run ./scripts/test, which installs one"))
}

fn find(names: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
}

/// Sends one command and returns the answer. Fails the test on an error.
pub(crate) async fn command<T: FromValue>(client: &Client, words: &[&str]) -> T {
    try_command(client, words).await.unwrap_or_else(|error| panic!("{words:?}: {error}"))
}

/// Sends one command and returns the answer.
pub(crate) async fn try_command<T: FromValue>(client: &Client, words: &[&str]) -> Result<T, fred::error::Error> {
    let command = CustomCommand::new(words[0].to_owned(), None, false);
    let args: Vec<Value> = words[1..].iter().map(|word| Value::from(*word)).collect();
    client.custom(command, args).await
}

pub(crate) async fn connect(port: u16) -> Client {
    let config = Config::from_url(&format!("redis://127.0.0.1:{port}")).expect("a good URL");
    let client = Builder::from_config(config)
        .with_connection_config(|connection| connection.max_command_attempts = 1)
        .with_performance_config(|performance| performance.default_command_timeout = Duration::from_secs(10))
        .set_policy(ReconnectPolicy::new_constant(0, 50))
        .build()
        .expect("a good configuration");
    client.init().await.expect("a server that has just said that it is ready answers");
    client
}
