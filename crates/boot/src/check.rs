//! Findings of the `check` commands: whether each dependency can be used, and how to fix it if not.
//!
//! A check is a row of a table: its name and its fix. A test compares `docs/troubleshooting.md` with the table.

use std::{collections::BTreeSet, fmt::Write, path::Path, time::Duration};

use rustix::fs::Access;
use serde::Serialize;
use serde_json::json;
use tokio::net::{TcpStream, lookup_host};
use url::Url;

use crate::terminal;

/// Time limit of a name server and of a server.
const TIMEOUT: Duration = Duration::from_secs(5);
/// Larger clock skew makes delays, deadlines and tokens wrong.
const MAX_SKEW: Duration = Duration::from_secs(2);
/// Least free disk space, in bytes.
const MIN_SPACE: u64 = 256 * 1024 * 1024;

/// A row of the table: a check, and what to do if it fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// Its name in the table.
    pub name: &'static str,
    /// What an operator does about it.
    pub fix: &'static str,
}

/// Whether settings can be read.
pub const SETTINGS: Check =
    Check { name: "settings", fix: "fix the setting that is named; .env.example lists them all" };
/// Whether a host has an address.
pub const DNS: Check = Check {
    name: "DNS",
    fix: "fix the host name in the setting, or the name servers of this machine (/etc/resolv.conf; in Kubernetes a \
          NetworkPolicy that lets DNS through)",
};
/// Whether a port accepts connections.
pub const TCP: Check = Check {
    name: "TCP",
    fix: "start the server, fix the port in the setting, or let this machine through its firewall; it must listen on \
          an address that is reached from here",
};
/// Whether a server's clock agrees with ours.
pub const CLOCK: Check =
    Check { name: "clock", fix: "let every machine keep its time by NTP (`timedatectl set-ntp true`)" };
/// Whether there is disk space for the files that are written.
pub const DISK: Check =
    Check { name: "disk", fix: "free some space, or let the setting name a folder that exists and may be written" };

/// Checks of every process.
pub const COMMON: [Check; 5] = [SETTINGS, DNS, TCP, CLOCK, DISK];

/// Result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Passed.
    Ok,
    /// Passed, with a risk.
    Warning,
    /// Failed.
    Failed,
}

/// Finding of a check.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    check: &'static str,
    subject: String,
    state: State,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<&'static str>,
}

/// All findings, in the order of the checks.
#[derive(Clone, Debug, Default)]
pub struct Report(Vec<Finding>);

impl Report {
    /// Adds a finding about `subject`, a server or a setting. No text may hold a secret.
    pub fn add(&mut self, check: Check, subject: impl Into<String>, state: State, found: impl Into<String>) {
        let fix = (state != State::Ok).then_some(check.fix);
        self.0.push(Finding { check: check.name, subject: subject.into(), state, found: found.into(), fix });
    }

    /// As [`add`](Self::add), passed or failed.
    pub fn note(&mut self, check: Check, subject: impl Into<String>, found: Result<String, String>) {
        match found {
            Ok(found) => self.add(check, subject, State::Ok, found),
            Err(found) => self.add(check, subject, State::Failed, found),
        }
    }

    /// Looks up `host` and connects to its port. Returns whether both succeeded.
    pub async fn reach(&mut self, subject: &str, host: &str, port: u16) -> bool {
        let bare = host.trim_matches(['[', ']']);
        let addresses: Vec<_> = match tokio::time::timeout(TIMEOUT, lookup_host((bare, port))).await {
            Ok(Ok(addresses)) => addresses.collect(),
            Ok(Err(error)) => {
                self.add(DNS, subject, State::Failed, format!("{host}: {error}"));
                return false;
            }
            Err(_) => {
                self.add(DNS, subject, State::Failed, format!("{host}: no answer within 5 s"));
                return false;
            }
        };
        let found: BTreeSet<_> = addresses.iter().map(|address| address.ip().to_string()).collect();
        self.add(DNS, subject, State::Ok, format!("{host} is {}", Vec::from_iter(found).join(", ")));
        let connected = match tokio::time::timeout(TIMEOUT, TcpStream::connect(addresses.as_slice())).await {
            Ok(Ok(stream)) => Ok(stream.peer_addr().map_or_else(|_| "connected".to_owned(), |peer| peer.to_string())),
            Ok(Err(error)) => Err(format!("{host}:{port}: {error}")),
            Err(_) => Err(format!("{host}:{port}: no answer within 5 s")),
        };
        let is_reached = connected.is_ok();
        self.note(TCP, subject, connected);
        is_reached
    }

    /// Compares a server's clock with ours, both in ms since 1970.
    pub fn compare_clocks(&mut self, subject: &str, theirs: i64, ours: i64) {
        let skew = Duration::from_millis(theirs.abs_diff(ours));
        let state = if skew > MAX_SKEW { State::Warning } else { State::Ok };
        self.add(CLOCK, subject, state, format!("differs from ours by {:.1} s", skew.as_secs_f64()));
    }

    /// Checks the free space in `folder`, or in its nearest parent that exists.
    pub fn look_at_disk(&mut self, subject: &str, folder: &Path) {
        let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
        let there = folder.ancestors().find(|folder| folder.is_dir()).unwrap_or(Path::new("."));
        match rustix::fs::statvfs(there) {
            Ok(space) => {
                let free = space.f_bavail.saturating_mul(space.f_frsize);
                let state = if free < MIN_SPACE { State::Failed } else { State::Ok };
                self.add(DISK, subject, state, format!("{} MB free in {}", free / 1_000_000, folder.display()));
            }
            Err(error) => self.add(DISK, subject, State::Failed, format!("{}: {error}", folder.display())),
        }
    }

    /// Returns whether no check has failed; there may be warnings.
    pub fn is_ok(&self) -> bool {
        self.0.iter().all(|finding| finding.state != State::Failed)
    }

    /// Returns the report for scripts: `{ok, checks: [{check, subject, state: ok|warning|failed, found, fix?}]}`.
    pub fn to_json(&self) -> String {
        terminal::json(&json!({"ok": self.is_ok(), "checks": self.0}).to_string()).into_owned()
    }

    /// Returns the report for people: a table, with the fix below each line that is not ok.
    pub fn to_table(&self) -> String {
        let width = |text: fn(&Finding) -> &str| self.0.iter().map(|one| text(one).chars().count()).max().unwrap_or(0);
        let (names, subjects) = (width(|one| one.check), width(|one| &one.subject));
        let mut table = String::new();
        for Finding { check, subject, state, found, fix } in &self.0 {
            let state = match state {
                State::Ok => "ok",
                State::Warning => "warning",
                State::Failed => "FAILED",
            };
            let found = terminal::line(found);
            let _ = writeln!(table, "{state:<7}  {check:<names$}  {subject:<subjects$}  {found}");
            if let Some(fix) = fix {
                let _ = writeln!(table, "         -> {fix}");
            }
        }
        table
    }
}

/// Checks, without making anything, that files can be written into `folder`, or that it can be made; returns which.
///
/// # Errors
/// Returns an error if neither can be.
pub fn writable(folder: &Path) -> std::io::Result<&'static str> {
    let (there, found) = if folder.is_dir() {
        (folder, "writable")
    } else {
        let parent = folder.ancestors().skip(1).find(|parent| parent.exists());
        (parent.unwrap_or(Path::new(".")), "not there yet; it can be made")
    };
    rustix::fs::access(there, Access::WRITE_OK | Access::EXEC_OK)?;
    Ok(found)
}

/// Returns the host and port of a URL; `None` if it has none, such as a unix socket or a file.
pub fn endpoint(url: &str, default_port: u16) -> Option<(String, u16)> {
    let url = Url::parse(url).ok()?;
    let host = url.host_str().filter(|host| !host.is_empty())?.to_owned();
    Some((host, url.port().unwrap_or(default_port)))
}

/// Returns the table of checks and fixes as Markdown.
pub fn list(checks: impl IntoIterator<Item = Check>) -> String {
    checks.into_iter().fold(String::from("| check | fix |\n|---|---|\n"), |mut lines, Check { name, fix }| {
        let _ = writeln!(lines, "| {name} | {fix} |");
        lines
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_closed_port_differs_from_an_unknown_host() {
        let mut report = Report::default();
        assert!(!report.reach("Redis", "127.0.0.1", 1).await);
        assert!(!report.reach("SMTP", "nowhere.invalid", 25).await);
        let table = report.to_table();
        assert!(table.contains("FAILED   TCP  Redis  127.0.0.1:1: "), "{table}");
        assert!(table.contains("FAILED   DNS  SMTP   nowhere.invalid: ") && table.contains(DNS.fix), "{table}");
        assert!(!report.is_ok());
    }

    #[test]
    fn clock_skew_is_a_warning() {
        let mut report = Report::default();
        report.compare_clocks("Redis", 10_000, 11_000);
        report.compare_clocks("database", 10_000, 3_000);
        assert!(report.is_ok() && report.to_json().contains(r#""state":"warning""#), "{}", report.to_json());
        assert!(report.to_table().contains("differs from ours by 7.0 s"), "{}", report.to_table());
    }

    #[test]
    fn an_endpoint_has_its_own_port_or_the_default() {
        assert_eq!(endpoint("rediss://user:secret@cache.example", 6379), Some(("cache.example".to_owned(), 6379)));
        assert_eq!(endpoint("postgres://db.example:5433/examhall", 5432), Some(("db.example".to_owned(), 5433)));
        assert_eq!(endpoint("redis+unix:///run/redis.sock", 6379), None);
    }
}
