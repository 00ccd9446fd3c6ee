//! Files that hold secrets or mails, made where the umask forbids nothing, and what production refuses.

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, path::Path};

use examhall_testkit::{Process, World, binary};
use tempfile::TempDir;
use tokio::process::Command;

use crate::TIMEOUT;

/// Starts a program in `folder` with umask 000.
fn start(program: &str, args: &[&str], folder: &TempDir, settings: &[(String, String)]) -> Process {
    let mut command = Command::new("sh");
    command.args(["-c", "umask 000; exec \"$0\" \"$@\""]).arg(binary(program)).args(args);
    command.env_clear().envs(settings.iter().cloned()).env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.current_dir(folder.path());
    Process::spawn(program, &mut command)
}

fn settings(world: &World, changed: &[(&str, &str)]) -> Vec<(String, String)> {
    let mut settings: BTreeMap<_, _> = world.settings().into_iter().collect();
    settings.remove("AUTH_SECRET");
    settings.extend(changed.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    settings.into_iter().collect()
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).expect("the file is there").permissions().mode() & 0o777
}

#[tokio::test]
async fn what_is_made_can_be_read_by_its_owner_only() {
    let (world, folder) = (World::start().await, tempfile::tempdir().expect("a folder"));
    let database = "sqlite://data/deep/exam%20hall.db?mode=rwc";
    let settings = settings(&world, &[("DATABASE_URL", database), ("SMTP_URL", "file:outbox/mails")]);
    let api = start("api", &[], &folder, &settings);
    api.line("Server running on port").await;
    let files = ["deep/exam hall.db", "deep/exam hall.db-wal", "deep/exam hall.db-shm", "auth-secret"];
    for file in files {
        assert_eq!(mode(&folder.path().join("data").join(file)), 0o600, "{file}");
    }
    let mut sending = start("mailer", &["send-test", "--to", "ada@example.com"], &folder, &settings);
    assert!(sending.exit(TIMEOUT).await.success(), "{}", sending.output());
    let mails = folder.path().join("outbox/mails");
    let made: Vec<_> = fs::read_dir(&mails).expect("mails").map(|mail| mail.expect("a mail").path()).collect();
    assert_eq!(made.iter().map(|mail| mode(mail)).collect::<Vec<_>>(), [0o600], "{made:?}");
    for made in ["data", "data/deep", "outbox", "outbox/mails"] {
        assert_eq!(mode(&folder.path().join(made)), 0o700, "{made}");
    }
}

#[tokio::test]
async fn a_kept_secret_that_is_empty_or_short_is_refused() {
    let (world, folder) = (World::start().await, tempfile::tempdir().expect("a folder"));
    fs::create_dir(folder.path().join("data")).expect("made");
    for kept in ["", "\n", "short", &" ".repeat(64)] {
        fs::write(folder.path().join("data/auth-secret"), kept).expect("written");
        let mut api = start("api", &[], &folder, &settings(&world, &[]));
        assert_eq!(api.exit(TIMEOUT).await.code(), Some(78), "{kept:?}: {}", api.output());
        assert!(api.output().contains("data/auth-secret holds fewer than 32 bytes"), "{}", api.output());
    }
}

#[tokio::test]
async fn production_warns_of_sqlite_and_refuses_to_seed() {
    let (world, folder) = (World::start().await, tempfile::tempdir().expect("a folder"));
    let settings = settings(
        &world,
        &[
            ("APP_ENV", "production"),
            ("PUBLIC_URL", "https://exams.example"),
            ("AUTH_SECRET", "a-secret-of-this-test-and-no-other"),
            ("DATABASE_AUTO_MIGRATE", "true"),
            ("DATABASE_URL", "sqlite://data/examhall.db?mode=rwc"),
        ],
    );
    let mut seeding = start("api", &["seed"], &folder, &settings);
    assert_eq!(seeding.exit(TIMEOUT).await.code(), Some(78), "{}", seeding.output());
    assert!(seeding.output().contains("APP_ENV is production: nothing was made"), "{}", seeding.output());
    assert!(!folder.path().join("data").exists());
    start("api", &[], &folder, &settings).line("no fail-over").await;
    let mut checking = start("api", &["check"], &folder, &settings);
    assert!(checking.exit(TIMEOUT).await.success(), "{}", checking.output());
    let warned = checking.output().lines().any(|line| line.starts_with("warning") && line.contains("no fail-over"));
    assert!(warned, "{}", checking.output());
}
