//! What the documents for operators list is what the programs do.

use std::{collections::BTreeSet, fs, path::Path};

use examhall_testkit::{Process, World};

use crate::TIMEOUT;

fn root() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn document(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).expect("a document")
}

/// The first cells of all rows of the tables below a heading.
fn rows(document: &str, heading: &str) -> BTreeSet<String> {
    let section = document.split(&format!("## {heading}\n")).nth(1).expect("a heading");
    let section = section.split("\n## ").next().unwrap_or_default();
    let lines = section.lines().filter(|line| is_row(line));
    lines.map(ToOwned::to_owned).collect()
}

fn is_row(line: &str) -> bool {
    line.starts_with("| ") && !line.starts_with("| event |") && !line.starts_with("| check |")
}

/// The texts of all events that a source file logs for operators.
fn events_of(source: &str, events: &mut BTreeSet<String>) {
    let shipped = source.split("#[cfg(test)]").next().unwrap_or_default();
    for level in ["info!(", "warn!(", "error!("] {
        for (at, _) in shipped.match_indices(&format!("tracing::{level}")) {
            let statement = shipped[at..].split([';', '\n']).take_while(|line| !line.trim().is_empty());
            let text = statement.take(8).collect::<Vec<_>>().join(" ");
            let call = text.split(");").next().unwrap_or_default();
            let Some(literal) = call.split('"').skip(1).step_by(2).find(|one| one.starts_with(char::is_uppercase))
            else {
                continue;
            };
            events.insert(literal.split(" {").next().unwrap_or_default().to_owned());
        }
    }
}

fn visit(folder: &Path, events: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            visit(&entry, events);
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            events_of(&fs::read_to_string(&entry).expect("text"), events);
        }
    }
}

#[test]
fn every_event_is_documented_and_every_documented_event_exists() {
    let mut logged = BTreeSet::new();
    for name in ["api", "boot", "cache", "mailer", "queue", "store"] {
        visit(&root().join("crates").join(name).join("src"), &mut logged);
    }
    let document = document("logs.md");
    let documented: BTreeSet<String> =
        rows(&document, "Events").iter().filter_map(|row| row.split('`').nth(1).map(ToOwned::to_owned)).collect();
    let difference: Vec<_> = logged.symmetric_difference(&documented).collect();
    assert!(difference.is_empty(), "docs/logs.md and the code differ in {difference:#?}");
}

#[tokio::test]
async fn the_troubleshooting_page_holds_the_table_of_checks() {
    let world = World::start().await;
    let mut checked = BTreeSet::new();
    for program in ["api", "mailer"] {
        let mut listing = Process::spawn_binary(program, &["check", "--list"], world.settings());
        assert!(listing.exit(TIMEOUT).await.success(), "{}", listing.output());
        checked.extend(listing.output().lines().filter(|line| is_row(line)).map(ToOwned::to_owned));
    }
    let documented = rows(&document("troubleshooting.md"), "Checks and fixes");
    let missing: Vec<_> = checked.symmetric_difference(&documented).collect();
    assert!(missing.is_empty(), "docs/troubleshooting.md and the programs differ in {missing:#?}");
}

#[tokio::test]
async fn check_finds_a_redis_that_may_evict_jobs() {
    let world = World::start().await;
    let run = async |program: &str| {
        let mut check = Process::spawn_binary(program, &["check"], world.settings());
        (check.exit(TIMEOUT).await.code(), check.output())
    };
    for program in ["api", "mailer"] {
        let (code, output) = run(program).await;
        assert_eq!(code, Some(0), "{output}");
        assert!(output.contains("warning  Redis persistence"), "this Redis keeps nothing on disk:\n{output}");
    }
    world.redis.cmd::<String>("CONFIG SET maxmemory-policy allkeys-lru").await;
    for program in ["api", "mailer"] {
        let (code, output) = run(program).await;
        assert_eq!(code, Some(69), "{output}");
        assert!(
            output.contains("FAILED   Redis eviction") && output.contains("maxmemory-policy noeviction"),
            "{output}"
        );
    }
}

#[tokio::test]
async fn a_check_tells_a_refused_log_in_from_a_server_that_is_away() {
    let mut world = World::start().await;
    world.redis.cmd::<String>("CONFIG SET requirepass correct-horse").await;
    world.set("REDIS_URL", &format!("redis://:planted-secret@127.0.0.1:{}", world.redis.port()));
    for program in ["api", "mailer"] {
        let mut check = Process::spawn_binary(program, &["check", "--json"], world.settings());
        assert_eq!(check.exit(TIMEOUT).await.code(), Some(69), "{}", check.output());
        let output = check.output();
        let line = output.lines().find(|line| line.starts_with('{')).expect("JSON");
        let report: serde_json::Value = serde_json::from_str(line).expect("JSON");
        let checks = report["checks"].as_array().expect("a list");
        let state = |name: &str| &checks.iter().find(|one| one["check"] == name).expect("a row")["state"];
        assert_eq!((state("TCP"), state("Redis login")), (&"ok".into(), &"failed".into()), "{output}");
        assert!(!output.contains("planted"), "{output}");
    }
}
