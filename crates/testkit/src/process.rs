//! Child processes: servers, and the binaries under test.

use std::{
    ffi::OsStr,
    net::TcpListener,
    os::fd::OwnedFd,
    path::PathBuf,
    process::{ExitStatus, Stdio},
    sync::{Arc, Mutex},
    time::Duration,
};

use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
};

use crate::eventually;

/// How long to wait for a line of output: far longer than anything takes, so that a busy machine fails no test.
const TIMEOUT: Duration = Duration::from_mins(1);

/// A child process with what it wrote. Killed when dropped.
pub struct Process {
    name: String,
    child: Child,
    output: Arc<Mutex<Vec<String>>>,
    lines: watch::Receiver<usize>,
}

/// The path of a binary of this workspace, `api` or `mailer`, as `cargo build` and `cargo nextest run` leave it.
pub fn binary(name: &str) -> PathBuf {
    built(name)
}

/// The path of an example program of the crate under test.
pub fn example(name: &str) -> PathBuf {
    built(&format!("examples/{name}"))
}

/// Whether the test of this path runs alone in its process. If not, runs it in one of its own, and fails if it does: for
/// tests that count the threads, descriptors or memory of the process.
pub fn alone(test: &str) -> bool {
    const ALONE: &str = "EXAMHALL_TEST_ALONE";
    // nextest runs each test in a process of its own.
    if std::env::var_os(ALONE).or_else(|| std::env::var_os("NEXTEST")).is_some() {
        return true;
    }
    let program = std::env::current_exe().expect("a running test has a path");
    let mut command = std::process::Command::new(program);
    let output = command.args(["--exact", test, "--nocapture"]).env(ALONE, "1").output().expect("started");
    let written = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    assert!(output.status.success() && written.contains("1 passed"), "{test}:\n{written}");
    false
}

fn built(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a path");
    let target = test.ancestors().find(|folder| folder.ends_with("deps")).and_then(|deps| deps.parent());
    let path = target.expect("a test lies under target/").join(name);
    assert!(path.exists(), "{} is missing: run `cargo build --workspace --all-targets`", path.display());
    path
}

impl Process {
    /// Starts `command`, whose output is kept. `name` is used in failure messages.
    pub fn spawn(name: &str, command: &mut Command) -> Self {
        Self::spawn_reading(Stdio::null(), name, command)
    }

    fn spawn_reading(stdin: Stdio, name: &str, command: &mut Command) -> Self {
        command.stdin(stdin).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{name} cannot be started: {error}"));
        let output = Arc::new(Mutex::new(Vec::new()));
        let (count, lines) = watch::channel(0);
        let count = Arc::new(count);
        keep_lines(child.stdout.take().expect("stdout is piped"), Arc::clone(&output), Arc::clone(&count));
        keep_lines(child.stderr.take().expect("stderr is piped"), Arc::clone(&output), count);
        Self { name: name.to_owned(), child, output, lines }
    }

    /// Starts a program of this workspace with these settings and nothing else from the environment.
    pub fn spawn_binary<N, V>(name: &str, args: &[&str], settings: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new(binary(name));
        command.args(args).env_clear().envs(settings).env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(folder.keep()); // no .env, no data/ of somebody else's
        Self::spawn(name, &mut command)
    }

    /// As [`spawn_binary`](Self::spawn_binary), and passes it a listening socket as systemd does (`sd_listen_fds(3)`).
    pub fn spawn_activated<N, V>(name: &str, socket: &TcpListener, settings: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<OsStr>,
        V: AsRef<OsStr>,
    {
        let socket = OwnedFd::from(socket.try_clone().expect("a descriptor is free"));
        let script = "exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1; exec \"$0\"";
        let mut command = Command::new("sh");
        command.args(["-c", script]).arg(binary(name)).env_clear().envs(settings);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.current_dir(tempfile::tempdir().expect("a temporary folder").keep());
        Self::spawn_reading(socket.into(), name, &mut command)
    }

    /// Waits for a line of output that contains `text`, now or earlier, and returns it.
    pub async fn line(&self, text: &str) -> String {
        self.one_of_lines(&[text]).await.1
    }

    /// Waits for a line that contains one of `texts`; returns which of them it was, and the line.
    pub async fn one_of_lines(&self, texts: &[&str]) -> (usize, String) {
        let mut lines = self.lines.clone();
        let search = async {
            loop {
                let ended = lines.has_changed().is_err();
                lines.mark_unchanged();
                let output = self.output();
                let found =
                    output.lines().find_map(|line| Some((texts.iter().position(|text| line.contains(text))?, line)));
                if let Some((which, line)) = found {
                    return (which, line.to_owned());
                }
                assert!(!ended, "{} ended without writing {texts:?}:\n{output}", self.name);
                let _ = lines.changed().await; // an error means that it ended: the next round says so
            }
        };
        tokio::time::timeout(TIMEOUT, search)
            .await
            .unwrap_or_else(|_| panic!("{} did not write {texts:?} within {TIMEOUT:?}:\n{}", self.name, self.output()))
    }

    /// Everything it wrote so far, to stdout and stderr, line by line.
    pub fn output(&self) -> String {
        self.output.lock().expect("no test panicked while writing").join("\n")
    }

    /// The lines it wrote since this was called last. They are forgotten: for processes that write for hours.
    pub fn take_lines(&self) -> Vec<String> {
        std::mem::take(&mut *self.output.lock().expect("no test panicked while writing"))
    }

    /// Its process id; fails the test where it has ended.
    pub fn pid(&self) -> u32 {
        self.child.id().unwrap_or_else(|| panic!("{} has ended:\n{}", self.name, self.output()))
    }

    /// Whether it runs.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).unwrap_or_else(|error| panic!("{signal:?} to {}: {error}", self.name));
    }

    /// Asks it to stop (SIGTERM).
    pub fn terminate(&self) {
        self.signal(Signal::TERM);
    }

    /// Stops its clock (SIGSTOP): it keeps its connections and does nothing.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on after [`freeze`](Self::freeze).
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    /// Ends it at once (SIGKILL) and waits until it is gone.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap_or_else(|error| panic!("SIGKILL to {}: {error}", self.name));
    }

    /// Waits until it has ended by itself, and until everything it wrote is in [`output`](Self::output).
    pub async fn exit(&mut self, timeout: Duration) -> ExitStatus {
        let status = tokio::time::timeout(timeout, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("{} did not end within {timeout:?}:\n{}", self.name, self.output()))
            .expect("a child can be waited for");
        self.end_of_output().await;
        status
    }

    /// Waits until everything it wrote is in [`output`](Self::output), once it has ended.
    pub async fn end_of_output(&self) {
        eventually("end of output", TIMEOUT, || async { self.lines.has_changed().is_err().then_some(()) }).await;
    }
}

fn keep_lines(
    stream: impl AsyncRead + Unpin + Send + 'static,
    output: Arc<Mutex<Vec<String>>>,
    count: Arc<watch::Sender<usize>>,
) {
    tokio::spawn(async move {
        let mut lines = BufReader::new(stream).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            output.lock().expect("no test panicked while writing").push(line);
            count.send_modify(|count| *count += 1);
        }
    });
}
