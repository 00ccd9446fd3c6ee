//! A real `PgBouncer` in front of a PostgreSQL.

use std::{fs, os::unix::fs::chown, path::PathBuf};

use tempfile::TempDir;
use tokio::process::Command;

use crate::{Postgres, Process, free_port};

/// `PgBouncer` refuses to run as root; as root it runs as `nobody`.
const NOBODY: u32 = 65534;

/// A pooler in transaction mode with two connections to its server; ends with the test.
pub struct PgBouncer {
    process: Process,
    port: u16,
    _folder: TempDir,
}

impl PgBouncer {
    /// Starts one. `ignored` are the startup parameters that it drops; it refuses others that it does not know.
    pub async fn start(server: &Postgres, ignored: &str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (port, file) = (free_port(), folder.path().join("pgbouncer.ini"));
        let settings = format!(
            "[databases]\n* = host=127.0.0.1 port={} user=examhall\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = transaction\ndefault_pool_size = 2\n\
             max_client_conn = 200\nignore_startup_parameters = {ignored}\n",
            server.port()
        );
        fs::write(&file, settings).expect("a file");
        let mut command = Command::new(program());
        command.arg(&file).current_dir(folder.path());
        if rustix::process::getuid().is_root() {
            for path in [folder.path(), &file] {
                chown(path, Some(NOBODY), Some(NOBODY)).expect("root may give files away");
            }
            command.uid(NOBODY).gid(NOBODY);
        }
        let process = Process::spawn("pgbouncer", &mut command);
        process.line("process up").await;
        Self { process, port, _folder: folder }
    }

    /// As a value of `DATABASE_URL`.
    pub fn url(&self) -> String {
        format!("postgres://examhall@127.0.0.1:{}/postgres", self.port)
    }

    /// Its process.
    pub fn process(&self) -> &Process {
        &self.process
    }
}

/// On PATH, or where Debian keeps it.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.push("/usr/sbin".into());
    let found = folders.into_iter().map(|folder| folder.join("pgbouncer")).find(|file| file.is_file());
    found.expect("pgbouncer: run ./scripts/test, which installs it")
}
