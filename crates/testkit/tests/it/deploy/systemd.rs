//! `deploy/systemd`: the installed units, as systemd reads them, and the calls that the programs make.

use std::{
    collections::BTreeSet,
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

use examhall_testkit::{Process, World, binary, eventually};
use tempfile::TempDir;
use tokio::process::Command;

use super::{read, run, tool, written};
use crate::{TIMEOUT, last_number};

/// Worst exposure that is allowed, in tenths, as `systemd-analyze security --threshold` counts.
const EXPOSURE: &str = "--threshold=15";

/// Calls that only root makes, to give a file to its owner: a service never runs as root, and gets EPERM.
const AS_ROOT: &[&str] = &["fchown"];

fn install(destdir: &Path, args: &[&str]) -> String {
    let built = binary("api").parent().expect("a folder").to_owned();
    let mut command = tool("bash");
    command.arg("deploy/systemd/install").arg("--binaries").arg(built).arg("--destdir").arg(destdir);
    run(command.args(args))
}

/// Every file and folder under `folder`, with its permissions, and its length where it is a file.
fn tree(folder: &Path) -> BTreeSet<String> {
    run(tool("find").arg(folder).args(["-type", "f", "-printf", "%P %m %s\n", "-o", "-printf", "%P %m\n"]))
        .lines()
        .map(ToOwned::to_owned)
        .collect()
}

fn units(destdir: &Path) -> Vec<PathBuf> {
    let folder = fs::read_dir(destdir.join("etc/systemd/system")).expect("units");
    folder.map(|entry| entry.expect("an entry").path()).collect()
}

/// The installed units, which name their program where it lies under `destdir`.
fn installed() -> TempDir {
    let destdir = tempfile::tempdir().expect("a temporary folder");
    install(destdir.path(), &["--prefix", "/opt/examhall"]);
    for unit in units(destdir.path()) {
        let text = fs::read_to_string(&unit).expect("a unit");
        assert!(!text.contains('@') || !text.contains("@PREFIX@"), "{} is unfinished", unit.display());
        let here = format!("={}/opt/examhall/", destdir.path().display());
        fs::write(&unit, text.replace("=/opt/examhall/", &here)).expect("a unit can be written");
    }
    destdir
}

#[test]
fn units_are_understood_by_systemd() {
    let destdir = installed();
    let output = tool("systemd-analyze").arg("verify").args(units(destdir.path())).output().expect("systemd-analyze");
    assert!(output.status.success() && output.stderr.is_empty(), "{}", written(&output));
    assert_eq!(units(destdir.path()).len(), 6);
}

#[test]
fn services_are_shut_in() {
    let destdir = installed();
    let services = units(destdir.path()).into_iter().filter(|unit| unit.extension().is_some_and(|e| e == "service"));
    for service in services {
        run(tool("systemd-analyze").args(["security", "--offline=true", EXPOSURE]).arg(service));
    }
}

#[test]
fn installing_twice_is_installing_once_and_keeps_settings() {
    let destdir = tempfile::tempdir().expect("a temporary folder");
    let said = install(destdir.path(), &[]);
    assert!(said.contains("redis_url database_url smtp_url"), "{said}");
    let settings = destdir.path().join("etc/examhall/examhall.env");
    fs::write(&settings, "PUBLIC_URL=https://mine.example.com\n").expect("settings can be written");
    let credentials = settings.with_file_name("credentials");
    let secret = fs::read_to_string(credentials.join("auth_secret")).expect("a secret");
    assert!(secret.len() >= 32);
    let before = tree(destdir.path());
    for name in ["redis_url", "database_url", "smtp_url"] {
        fs::write(credentials.join(name), "x").expect("a credential can be written");
    }
    let said = install(destdir.path(), &[]);
    assert!(!said.contains("redis_url"), "nothing is missing: {said}");
    let after: BTreeSet<_> = tree(destdir.path()).into_iter().filter(|file| !file.contains("_url ")).collect();
    assert_eq!(before, after);
    assert_eq!(fs::read_to_string(credentials.join("auth_secret")).expect("a secret"), secret);
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!((mode(&credentials), mode(&credentials.join("auth_secret"))), (0o700, 0o600));
}

#[test]
fn uninstalling_leaves_settings_and_purging_leaves_nothing() {
    let destdir = tempfile::tempdir().expect("a temporary folder");
    let files = || tree(destdir.path()).into_iter().filter(|line| line.split(' ').count() == 3).collect::<Vec<_>>();
    install(destdir.path(), &[]);
    // What an instance, `systemctl edit` and a timer leave.
    for made in [
        "etc/systemd/system/multi-user.target.wants/examhall-mailer@9002.service",
        "etc/systemd/system/sockets.target.wants/examhall-api.socket",
        "etc/systemd/system/examhall-api.service.d/override.conf",
        "etc/systemd/system/examhall-mailer@9002.service.d/override.conf",
        "var/lib/systemd/timers/stamp-examhall-mailer-drain.timer",
    ] {
        let file = destdir.path().join(made);
        fs::create_dir_all(file.parent().expect("a folder")).expect("a folder can be made");
        fs::write(file, "").expect("a file can be written");
    }
    install(destdir.path(), &["--uninstall"]);
    assert_eq!(files().len(), 2, "examhall.env and auth_secret: {:?}", files());
    install(destdir.path(), &["--uninstall", "--purge"]);
    install(destdir.path(), &["--uninstall", "--purge"]);
    assert_eq!(files(), Vec::<String>::new());
}

#[test]
fn the_installer_says_what_is_wrong() {
    let fails = |args: &[&str], code: i32, says: &str| {
        let output = tool("bash").arg("deploy/systemd/install").args(args).output().expect("bash");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", written(&output));
        assert!(written(&output).contains(says), "{args:?}: {}", written(&output));
    };
    fails(&["--destdir", "/nowhere", "--binaries", "/nowhere"], 66, "cargo build");
    fails(&["--destdri", "/nowhere"], 64, "unknown option --destdri");
    fails(&["--prefix"], 64, "--prefix needs a folder");
    fails(&["--prefix", "opt"], 64, "absolute");
    fails(&["--purge"], 64, "--uninstall");
    assert!(run(tool("bash").args(["deploy/systemd/install", "--help"])).contains("--uninstall"));
}

/// Runs the installed command of a program, for the settings below `destdir`, with this environment.
async fn command(destdir: &Path, program: &str, args: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
    let file = destdir.join("opt/examhall/bin").join(program);
    let text = fs::read_to_string(&file).expect("a script");
    let here = destdir.display().to_string();
    let text = text.replace("settings=/etc/", &format!("settings={here}/etc/"));
    fs::write(&file, text.replace("exec \"/opt/", &format!("exec \"{here}/opt/"))).expect("it can be written");
    let mut command = Command::new(&file);
    command.args(args).env_clear().env("PATH", "/usr/bin:/bin").envs(environment.iter().copied()).current_dir(destdir);
    let output = command.output().await.expect("it can be run");
    (output.status.code(), written(&output))
}

#[tokio::test]
async fn commands_run_with_the_settings_of_the_installation() {
    let world = World::start().await;
    let destdir = tempfile::tempdir().expect("a temporary folder");
    install(destdir.path(), &["--prefix", "/opt/examhall"]);
    let settings = destdir.path().join("etc/examhall");
    let urls = [("redis_url", world.redis.url()), ("database_url", world.database.url())];
    for (name, url) in urls {
        fs::write(settings.join("credentials").join(name), url + "\n").expect("a credential can be written");
    }
    let smtp = format!("{}?tls=none", world.smtp.url().split('?').next().unwrap_or_default());
    fs::write(settings.join("credentials/smtp_url"), smtp).expect("a credential can be written");
    let text = "PUBLIC_URL=https://mine.example.com\nMAIL_FROM=\"Prices in $ <no-reply@example.com>\"\n# DATABASE_CONNECTIONS=x\n\
                DATABASE_AUTO_MIGRATE=true\nSMTP_EHLO_NAME='exams.example.com'";
    fs::write(settings.join("examhall.env"), text).expect("settings can be written");
    let before = tree(destdir.path());

    let from = |name: &str| settings.join("credentials").join(name).display().to_string();
    let (code, said) = command(destdir.path(), "examhall-api", &["check"], &[]).await;
    let origins = format!(
        "APP_ENV is production; REDIS_URL from {}, DATABASE_URL from {}",
        from("redis_url"),
        from("database_url")
    );
    assert!(code == Some(0) && said.contains(&origins) && !said.contains("is not given"), "{code:?}: {said}");
    let (code, said) = command(destdir.path(), "examhall-mailer", &["check"], &[]).await;
    let origins =
        format!("APP_ENV is production; REDIS_URL from {}, SMTP_URL from {}", from("redis_url"), from("smtp_url"));
    assert!(code == Some(0) && said.contains(&origins) && said.contains("exams.example.com"), "{code:?}: {said}");
    let (code, said) = command(destdir.path(), "examhall-mailer", &["queue", "status"], &[]).await;
    assert!(code == Some(0) && said.starts_with("No mailer runs."), "{code:?}: {said}");
    let left: Vec<_> = tree(destdir.path()).into_iter().filter(|file| !before.contains(file)).collect();
    assert_eq!(left.iter().filter(|file| !file.starts_with("opt/examhall/bin/")).count(), 0, "{left:?}");

    let (code, said) =
        command(destdir.path(), "examhall-api", &["check"], &[("PUBLIC_URL", "http://other.example.com")]).await;
    assert!(code == Some(78) && said.contains("PUBLIC_URL is http://other.example.com"), "the caller's wins: {said}");
    let (code, said) =
        command(destdir.path(), "examhall-api", &["check"], &[("REDIS_URL", "redis://127.0.0.1:1")]).await;
    assert!(code == Some(69) && said.contains("REDIS_URL from the environment"), "{code:?}: {said}");
}

/// The calls of a set like `@system-service`, with all sets that it names.
fn calls_of(set: &str) -> BTreeSet<String> {
    let listed = run(tool("systemd-analyze").args(["syscall-filter", set]));
    let named = listed.lines().skip(1).map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    named.flat_map(|name| if name.starts_with('@') { calls_of(name) } else { [name.to_owned()].into() }).collect()
}

#[tokio::test]
async fn the_sandbox_lets_the_programs_make_every_call_they_make() {
    let unit = read("deploy/systemd/examhall-api.service");
    assert!(unit.contains("SystemCallFilter=@system-service\nSystemCallFilter=~@privileged @resources\n"));
    let mut allowed = calls_of("@system-service");
    for denied in ["@privileged", "@resources"] {
        allowed = allowed.difference(&calls_of(denied)).cloned().collect();
    }

    let world = World::start().await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let traced = |name: &str| {
        let mut command = Command::new("strace");
        // -D: the program is our child, and the signal that ends it reaches it.
        command.args(["-D", "-f", "-qq", "-o"]).arg(folder.path().join(name)).arg(binary(name));
        command.envs(world.settings()).current_dir(&folder);
        Process::spawn(name, &mut command)
    };
    let (mut api, mut mailer) = (traced("api"), traced("mailer"));
    let port = last_number(&api.line("Server running on port").await).expect("a port");
    let answer = reqwest::Client::new()
        .post(format!("http://127.0.0.1:{port}/api/v1/auth/signup"))
        .json(&serde_json::json!({"email": "ada@example.com", "name": "Ada", "password": "correct horse"}))
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), 202);
    eventually("one mail", TIMEOUT, async || (world.smtp.received().len() == 1).then_some(())).await;
    for process in [&mut api, &mut mailer] {
        process.terminate();
        assert!(process.exit(TIMEOUT).await.success(), "{}", process.output());
    }

    for name in ["api", "mailer"] {
        let trace = fs::read_to_string(folder.path().join(name)).expect("a trace");
        let calls: BTreeSet<_> = trace.lines().filter_map(call).collect();
        assert!(calls.contains("connect") && calls.contains("exit_group"), "{name}: {calls:?}");
        let forbidden: Vec<_> =
            calls.iter().filter(|call| !allowed.contains(**call) && !AS_ROOT.contains(*call)).collect();
        assert!(forbidden.is_empty(), "{name} makes {forbidden:?}");
    }
}

/// The call of a line of strace's like `123 read(3, ...`.
fn call(line: &str) -> Option<&str> {
    let name = line.split_once(' ')?.1.trim_start().split_once('(')?.0;
    name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_').then_some(name)
}
