//! The rules of the codebase, as docs/architecture.md states them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, Package};
use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use crate::module_graph::ModuleGraph;

/// Which crate may import which. `testkit` and `bench` are not shipped.
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("core", &[]),
    ("boot", &[]),
    ("redis", &[]),
    ("store", &["core"]),
    ("cache", &["redis"]),
    ("queue", &["redis"]),
    ("delivery", &["redis", "core"]),
    ("formats", &["core"]),
    ("api", &["store", "cache", "queue", "delivery", "formats", "redis", "boot", "core"]),
    ("mailer", &["queue", "delivery", "redis", "boot", "core"]),
    ("testkit", &[]),
    ("proof", &["core", "testkit"]),
    ("bench", &["api", "boot", "cache", "core", "queue", "store", "testkit"]),
];

/// Which crates may speak what; `testkit` and `bench` may speak everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("fred", &["redis"]),
    ("sea-orm", &["store"]),
    ("sea-orm-migration", &["store"]),
    ("actix-web", &["api"]),
    ("lettre", &["mailer"]),
    ("hyper", &["boot", "mailer"]),
    ("config", &["boot"]),
    ("quick-xml", &["formats"]),
];

const TOP_LEVEL: &[&str] = &[
    ".ci",
    ".config",
    ".env.example",
    ".gitignore",
    "CHANGELOG.md",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "clippy.toml",
    "crates",
    "deny.toml",
    "deploy",
    "docs",
    "rustfmt.toml",
    "scripts",
];

const LONGEST_FILE: usize = 500;
const LONG_FILE: usize = 300;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn metadata() -> Metadata {
    let manifest = root().join("Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).no_deps().exec().expect("cargo metadata")
}

/// A member's name without `examhall-`.
fn short(name: &str) -> Option<&str> {
    name.strip_prefix("examhall-")
}

/// Files that git knows of, relative to the workspace.
pub(crate) fn committed(suffix: &str) -> Vec<PathBuf> {
    let listed = Command::new("git").args(["ls-files", "-co", "--exclude-standard"]).current_dir(root()).output();
    let listed = String::from_utf8(listed.expect("git").stdout).expect("UTF-8");
    let files = listed.lines().filter(|file| file.ends_with(suffix)).map(PathBuf::from);
    files.filter(|file| root().join(file).exists()).collect()
}

fn read(file: &Path) -> String {
    fs::read_to_string(root().join(file)).expect("a committed file can be read")
}

fn shipped_dependencies(package: &Package) -> impl Iterator<Item = &str> {
    let shipped = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
    shipped.map(|dependency| dependency.name.as_str())
}

#[test]
fn crates_only_look_down() {
    let metadata = metadata();
    let rules: BTreeMap<_, _> = MAY_IMPORT.iter().copied().collect();
    let members: BTreeSet<_> = metadata.packages.iter().filter_map(|package| short(&package.name)).collect();
    assert_eq!(members, rules.keys().copied().collect(), "every crate has its rule");
    for package in &metadata.packages {
        let name = short(&package.name).expect("checked above");
        let imports: BTreeSet<_> = shipped_dependencies(package).filter_map(short).collect();
        let allowed: BTreeSet<_> = rules[name].iter().copied().collect();
        assert!(imports.is_subset(&allowed), "{name} imports {imports:?}, and may import {allowed:?}");
    }
}

#[test]
fn each_technology_stays_in_its_crates() {
    for package in &metadata().packages {
        let name = short(&package.name).expect("a member");
        for (technology, crates) in MAY_USE {
            let speaks = shipped_dependencies(package).any(|dependency| dependency == *technology);
            assert!(
                !speaks || crates.contains(&name) || ["testkit", "bench"].contains(&name),
                "{name} uses {technology}"
            );
        }
    }
}

#[test]
fn versions_and_lints_stand_in_one_table() {
    // Workspaces of their own: peers that ours is measured against, and what is fuzzed.
    let others = ["crates/bench/peers", "crates/fuzz"];
    let members = |file: &&PathBuf| file.starts_with("crates") && !others.iter().any(|other| file.starts_with(other));
    for manifest in committed("Cargo.toml").iter().filter(members) {
        let text = read(manifest);
        assert!(text.contains("[lints]\nworkspace = true"), "{} has lints of its own", manifest.display());
        let table = text
            .lines()
            .skip_while(|line| !line.contains("dependencies]"))
            .take_while(|line| !line.contains("[lints]"));
        for line in table.filter(|line| line.contains('=')) {
            let (name, value) = line.split_once('=').expect("checked");
            let inherits = name.trim().ends_with(".workspace") || value.contains("workspace = true");
            assert!(inherits, "{}: {line}", manifest.display());
        }
    }
}

#[test]
fn files_are_short() {
    let mut long = Vec::new();
    let files = committed(".rs");
    for file in &files {
        let lines = read(file).lines().count();
        assert!(lines <= LONGEST_FILE, "{} has {lines} lines, and may have {LONGEST_FILE}", file.display());
        if lines > LONG_FILE {
            long.push((lines, file));
        }
    }
    assert!(long.len() * 20 <= files.len(), "more than one file in twenty has over {LONG_FILE} lines: {long:?}");
}

#[test]
fn the_top_level_holds_what_the_architecture_names() {
    let found: BTreeSet<_> =
        committed("").iter().filter_map(|file| file.iter().next()?.to_str().map(ToOwned::to_owned)).collect();
    let unknown: Vec<_> = found.iter().filter(|entry| !TOP_LEVEL.contains(&entry.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?} stand at the top level");
}

#[test]
fn no_module_is_a_place_for_odds_and_ends() {
    for file in committed(".rs") {
        let stem = file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        assert!(
            !["utils", "util", "common", "helpers", "helper", "misc", "types"].contains(&stem),
            "{}",
            file.display()
        );
    }
}

#[test]
fn no_crate_has_a_circle_of_files() {
    let mut graphs: BTreeMap<String, ModuleGraph> = BTreeMap::new();
    for file in committed(".rs") {
        let path = file.to_str().and_then(|path| path.strip_prefix("crates/")?.strip_suffix(".rs"));
        if let Some((name, module)) = path.and_then(|path| path.split_once("/src/")) {
            graphs.entry(name.to_owned()).or_default().add(module, &read(&file));
        }
    }
    for (name, graph) in &graphs {
        let circles: Vec<_> = graph.circles().into_iter().collect();
        assert!(circles.is_empty(), "files of {name} use each other in a circle: {circles:?}");
    }
}

#[test]
fn links_in_documents_lead_somewhere() {
    for document in committed(".md") {
        let text = read(&document);
        for link in links(&text) {
            if link.contains("://") || link.starts_with("mailto:") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let folder = root().join(document.parent().expect("a file has a folder"));
            let target = if path.is_empty() { root().join(&document) } else { folder.join(path) };
            assert!(target.exists(), "{}: {link} is broken", document.display());
            if !anchor.is_empty() {
                let target = fs::read_to_string(&target).expect("a document");
                assert!(anchors(&target).contains(anchor), "{}: {link} has no such heading", document.display());
            }
        }
    }
}

fn links(markdown: &str) -> Vec<String> {
    let link = |event| match event {
        Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => Some(dest_url.to_string()),
        _ => None,
    };
    Parser::new(markdown).filter_map(link).collect()
}

/// The anchors that a reader's browser is given for headings: lower case, dashes for spaces, no punctuation.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let (mut anchors, mut heading) = (BTreeSet::new(), None::<String>);
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => {
                if let Some(heading) = &mut heading {
                    heading.push_str(&text);
                }
            }
            Event::End(TagEnd::Heading(_)) => {
                let title = heading.take().unwrap_or_default().to_lowercase().replace(' ', "-");
                anchors.insert(title.chars().filter(|c| c.is_alphanumeric() || *c == '-' || *c == '_').collect());
            }
            _ => {}
        }
    }
    anchors
}
