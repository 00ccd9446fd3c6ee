//! The commands in the documents: each is run by a test, or marked as needing what is not there.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use examhall_testkit::{World, binary};
use tokio::process::Command;

/// What a command may need that no test has.
const MARKS: &[&str] = &["cluster", "domain", "systemd", "minutes"];

/// Which commands are run, and where that is: by a test of this name or, for those of the repository itself, by this file.
const RUN: &[(&str, &str, &str)] = &[
    ("README.md", "./scripts/up", ".ci/run"),
    ("README.md", "./scripts/test", ".ci/run"),
    ("docs/api.md", "api create-user", "administrator"),
    ("docs/deploy-kubernetes.md", "kubectl kustomize", "manifests_follow_the_schemas_of_three_versions"),
    ("docs/deploy-systemd.md", "cd /etc/examhall", "an_installation_that_is_ready_passes_every_check"),
    ("docs/deploy-systemd.md", "echo ", "an_installation_that_is_ready_passes_every_check"),
    ("docs/deploy-systemd.md", "deploy/systemd/install", "uninstalling_leaves_settings_and_purging_leaves_nothing"),
    ("docs/guide.md", "", "the_programs_of_the_guide_print_what_it_says"),
    ("docs/mailer.md", "SMTP_URL=", "the_commands_for_operators_answer"),
    ("docs/migrate-from-node.md", "./scripts/test migrate", ".ci/run"),
    ("docs/migrate-from-node.md", "QUEUE_PREFIX=bull", "a_team_migrates_from_node_and_back_without_duplicates"),
    ("docs/operations.md", "", "the_commands_for_operators_answer"),
    ("docs/production-checklist.md", "", "an_installation_that_is_ready_passes_every_check"),
    ("docs/quick-start.md", "", "the_quick_start_works_as_it_is_written"),
    ("docs/redis.md", "", "the_mails_of_a_restored_backup_are_sent"),
    ("docs/troubleshooting.md", "", "check_finds_a_redis_that_may_evict_jobs"),
];

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn documents() -> Vec<String> {
    let listed = fs::read_dir(root().join("docs")).expect("docs");
    let files = listed.map(|entry| entry.expect("an entry").path());
    let texts = files.filter(|file| file.extension().is_some_and(|extension| extension == "md"));
    let names = texts.map(|file| format!("docs/{}", file.file_name().expect("a name").display()));
    names.chain(["README.md".to_owned()]).collect()
}

/// A command of a document.
#[derive(Debug)]
pub(crate) struct Line {
    /// As a shell takes it, without what a comment says.
    pub(crate) command: String,
    /// What it needs that no test has, in its comment or in the line above its block.
    pub(crate) mark: Option<String>,
}

/// All lines of blocks for a shell; a line that ends with a backslash goes on in the next one.
pub(crate) fn commands(document: &str) -> Vec<Line> {
    let text = fs::read_to_string(root().join(document)).expect(document);
    let mut lines = Vec::new();
    let (mut above, mut inside, mut begun) = ("", None, String::new());
    for line in text.lines() {
        let trimmed = line.trim();
        match &inside {
            None if trimmed == "```sh" => inside = Some(MARKS.iter().find(|mark| above.contains(&format!("*{mark}*")))),
            Some(_) if trimmed == "```" => inside = None,
            Some(of_block) => {
                let (command, comment) = trimmed.split_once("   #").unwrap_or((trimmed, ""));
                begun.push_str(command.trim_end_matches('\\'));
                if !trimmed.ends_with('\\') {
                    let mark = MARKS.iter().find(|mark| comment.trim() == **mark).or(*of_block);
                    let command = std::mem::take(&mut begun).trim().to_owned();
                    lines.push(Line { command, mark: mark.map(ToString::to_string) });
                }
            }
            None if !trimmed.is_empty() => above = trimmed,
            None => {}
        }
    }
    lines
}

/// A shell for a document's commands, in a folder of its own, with both programs where a shell looks for them.
pub(crate) fn shell(line: &str, folder: &Path, settings: &[(String, String)]) -> Command {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(binary("api").parent().expect("a folder").to_owned());
    let path = std::env::join_paths(folders.chain(std::env::split_paths(&path))).expect("a path");
    let mut command = Command::new("sh");
    command.args(["-c", line]).current_dir(folder).env_clear().env("PATH", path).stdin(Stdio::null());
    command.envs(settings.iter().map(|(name, value)| (name, value))).kill_on_drop(true);
    command
}

#[test]
fn every_command_in_the_documents_is_run_by_a_test_or_marked() {
    let sources = sources();
    let mut used = BTreeSet::new();
    for document in documents() {
        for Line { command, mark } in commands(&document) {
            if mark.is_some() {
                continue;
            }
            let known = RUN.iter().position(|(of, begins, _)| *of == document && command.starts_with(begins));
            used.insert(known.unwrap_or_else(|| panic!("{document}: nobody runs `{command}`")));
        }
    }
    for (at, (document, begins, by)) in RUN.iter().enumerate() {
        assert!(used.contains(&at), "{document} no longer has a command that begins with `{begins}`");
        let exists = root().join(by).is_file() || sources.contains(&format!("fn {by}("));
        assert!(exists, "there is no test {by}");
    }
}

/// The text of all tests of whole programs.
fn sources() -> String {
    let crates = fs::read_dir(root().join("crates")).expect("crates").map(|entry| entry.expect("an entry").path());
    let mut text = String::new();
    let mut folders: Vec<_> = crates.map(|folder| folder.join("tests/it")).filter(|folder| folder.exists()).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
            match entry.extension() {
                None => folders.push(entry),
                Some(extension) if extension == "rs" => text.push_str(&fs::read_to_string(entry).expect("text")),
                Some(_) => {}
            }
        }
    }
    text
}

/// The program and arguments of a command that begins with one of ours, as far as they go without a shell.
fn of_ours(command: &str) -> Option<Vec<String>> {
    let words = command.split_whitespace().skip_while(|word| word.contains('=') || ["!", "sudo", "env"].contains(word));
    let words: Vec<_> = words.take_while(|word| !["|", "&&", "||", ">", "..."].contains(word)).collect();
    let program = words.first()?.trim_start_matches("target/debug/").trim_start_matches("examhall-");
    let is_ours = ["api", "mailer"].contains(&program);
    is_ours.then(|| std::iter::once(program).chain(words[1..].iter().copied()).map(ToOwned::to_owned).collect())
}

#[tokio::test]
async fn every_command_of_our_programs_that_a_document_names_exists() {
    let mut named = BTreeSet::new();
    for document in documents() {
        let text = fs::read_to_string(root().join(&document)).expect("text").replace('\n', " ");
        named.extend(text.split('`').skip(1).filter_map(of_ours));
        named.extend(commands(&document).iter().filter_map(|line| of_ours(&line.command)));
    }
    assert!(named.len() > 15, "{named:?}");
    for words in named {
        let asked = Command::new(binary(&words[0])).args(&words[1..]).arg("--help").output().await.expect("a program");
        assert!(asked.status.success(), "{words:?}: {}", String::from_utf8_lossy(&asked.stderr));
    }
}

#[tokio::test]
async fn the_commands_for_operators_answer() {
    let mut world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    // Two providers, as the mailer's page writes them.
    let providers = commands("docs/mailer.md").remove(0).command;
    let (name, value) = providers.split_once('=').expect("a setting");
    world.set(name, value.trim_matches('\''));
    let (api, mailer) = (crate::Api::start(&world).await, world.mailer(&[]));
    let mut ports = Vec::new();
    for process in [&api.process, &mailer] {
        ports.push(crate::last_number(&process.line("Health and metrics on port").await).expect("a port"));
    }
    for Line { command, .. } in commands("docs/operations.md") {
        let command = command.replace(":9000", &format!(":{}", ports[0])).replace(":9001", &format!(":{}", ports[1]));
        let asked = shell(&command, folder.path(), &world.settings()).output().await.expect("a shell");
        assert!(asked.status.success() && !asked.stdout.is_empty(), "{command}: {asked:?}");
    }
}
