//! A real PostgreSQL, one per test.

use std::{
    fs::{self, File},
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::Command as SyncCommand,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Process, free_port};

/// PostgreSQL refuses to run as root; as root it runs as `nobody`.
const NOBODY: u32 = 65534;

/// A PostgreSQL server with a folder and a port of its own; ends with the test.
pub struct Postgres {
    process: Process,
    folder: TempDir,
    port: u16,
}

impl Postgres {
    /// Starts one with an empty database.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let copied = SyncCommand::new("cp").arg("-a").arg(template()).arg(data(&folder)).status();
        assert!(copied.is_ok_and(|status| status.success()), "the database template cannot be copied");
        give_to_nobody(folder.path());
        loop {
            let port = free_port();
            let process = spawn(&folder, port);
            if is_ready(&process).await {
                return Self { process, folder, port };
            }
        }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        format!("postgres://examhall@127.0.0.1:{}/postgres", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process: to freeze and thaw it.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Ends it at once (SIGQUIT, "immediate shutdown"): nothing is flushed, no client is notified.
    pub async fn kill(&mut self) {
        if self.process.is_running() {
            self.process.signal(rustix::process::Signal::QUIT);
            self.process.exit(Duration::from_mins(1)).await;
        }
    }

    /// Starts it again on the same port with what it had committed.
    pub async fn restart(&mut self) {
        self.kill().await;
        self.process = spawn(&self.folder, self.port);
        assert!(is_ready(&self.process).await, "postgres does not start again:\n{}", self.process.output());
    }

    /// Starts it again on the same port as a standby: it takes no writes until `SELECT pg_promote()`.
    pub async fn restart_as_standby(&mut self) {
        self.kill().await;
        fs::write(data(&self.folder).join("standby.signal"), "").expect("a file");
        self.process = spawn(&self.folder, self.port);
        self.process.line("ready to accept read-only connections").await;
    }
}

impl Drop for Postgres {
    /// Waits until it has put its things away. Killed, it leaves a segment of shared memory to the machine, which has room for
    /// 4,096 of them, and its own children write for a while into a folder that is being removed.
    fn drop(&mut self) {
        if self.process.is_running() {
            self.process.thaw();
            self.process.signal(rustix::process::Signal::QUIT);
            let waited = Instant::now();
            while self.process.is_running() && waited.elapsed() < Duration::from_secs(10) {
                std::thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

fn spawn(folder: &TempDir, port: u16) -> Process {
    let mut command = Command::new(program("postgres"));
    command.arg("-D").arg(data(folder)).args(["-p", &port.to_string()]);
    for setting in ["listen_addresses=127.0.0.1", "unix_socket_directories=", "fsync=off", "max_connections=100"] {
        command.args(["-c", setting]);
    }
    if is_root() {
        command.uid(NOBODY).gid(NOBODY);
    }
    Process::spawn("postgres", command.current_dir(folder.path()))
}

/// Whether it listens; not if somebody else has taken the port meanwhile.
async fn is_ready(process: &Process) -> bool {
    let (which, _) = process
        .one_of_lines(&["database system is ready to accept connections", "could not create any TCP/IP sockets"])
        .await;
    which == 0
}

fn data(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// A fresh cluster to copy from, made once per machine: `initdb` takes longer than all the rest of a start.
fn template() -> PathBuf {
    let root = std::env::temp_dir().join(format!("examhall-postgres-{}", rustix::process::getuid().as_raw()));
    fs::create_dir_all(&root).expect("a writable temporary folder");
    let lock = File::create(root.join("lock")).expect("a writable temporary folder");
    lock.lock().expect("a lock");
    let template = root.join("one-database");
    if !template.exists() {
        give_to_nobody(&root);
        let unfinished = root.join("unfinished");
        drop(fs::remove_dir_all(&unfinished)); // what an interrupted run left, if any
        let mut initdb = as_nobody("initdb", &root);
        initdb.arg("-D").arg(&unfinished).args(["-U", "examhall", "-A", "trust", "-E", "UTF8", "--locale=C"]);
        succeed(initdb.args(["--no-sync", "--wal-segsize=1"]));
        leave_one_database(&unfinished, &root);
        fs::rename(unfinished, &template).expect("a folder can be renamed");
    }
    template
}

/// Drops all databases but `postgres`: each has 300 files, which would be copied for every test.
fn leave_one_database(cluster: &Path, root: &Path) {
    let statements = root.join("statements");
    let drops = "UPDATE pg_database SET datistemplate = false;\nDROP DATABASE template0;\nDROP DATABASE template1;\n";
    fs::write(&statements, drops).expect("a writable folder");
    let mut single = as_nobody("postgres", root);
    single.args(["--single", "-D"]).arg(cluster).args(["-c", "fsync=off", "postgres"]);
    succeed(single.stdin(File::open(statements).expect("a file")));
}

fn as_nobody(name: &str, folder: &Path) -> SyncCommand {
    let mut command = SyncCommand::new(program(name));
    command.current_dir(folder);
    if is_root() {
        use std::os::unix::process::CommandExt;
        command.uid(NOBODY).gid(NOBODY);
    }
    command
}

fn succeed(command: &mut SyncCommand) {
    let output = command.output().expect("a program of PostgreSQL can be started");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

fn give_to_nobody(folder: &Path) {
    if is_root() {
        chown(folder, Some(NOBODY), Some(NOBODY)).expect("root may give folders away");
    }
}

fn is_root() -> bool {
    rustix::process::getuid().is_root()
}

/// A server program: on PATH, or where Debian keeps it (the newest version).
fn program(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let mut versions: Vec<PathBuf> = fs::read_dir("/usr/lib/postgresql")
        .map(|versions| versions.flatten().map(|version| version.path().join("bin")).collect())
        .unwrap_or_default();
    versions.sort_by_key(|bin| bin.parent().and_then(|v| v.file_name()?.to_str()?.parse::<u32>().ok()));
    folders.extend(versions.into_iter().rev());
    let found = folders.into_iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    // Its own folder holds the libraries and the other programs that it looks for alongside itself.
    let found = found.and_then(|file| fs::canonicalize(file).ok());
    found.unwrap_or_else(|| panic!("no {name} on PATH or under /usr/lib/postgresql: run ./scripts/test"))
}
