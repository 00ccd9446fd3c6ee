//! What `deploy/` holds, held against the tools and schemas of those who will read it.

mod docker;
mod kubernetes;
mod monitoring;
mod reachability;
mod systemd;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::Value;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).expect(path)
}

/// A tool as `./scripts/test` installs it, or from `PATH`.
fn tool(name: &str) -> Command {
    let installed = root().join("data/deploy-tools");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::iter::once(installed.join("bin")).chain(std::env::split_paths(&path));
    let folders: Vec<_> = folders.collect();
    let found = folders.iter().map(|folder| folder.join(name)).find(|file| file.is_file());
    assert!(found.is_some(), "{name} is missing: ./scripts/test installs it");
    let mut command = Command::new(found.unwrap_or_default());
    command.current_dir(root()).stdin(Stdio::null()).env("PYTHONPATH", installed);
    command
}

/// Runs it; fails the test with everything it wrote where it does not succeed.
fn run(command: &mut Command) -> String {
    let output = command.output().expect("a tool that was found can be run");
    assert!(output.status.success(), "{command:?} ends with {}:\n{}", output.status, written(&output));
    String::from_utf8(output.stdout).expect("UTF-8")
}

fn written(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The documents of a YAML file, as JSON.
fn documents(yaml: &Path) -> Vec<Value> {
    let program = "import json, sys, yaml; print(json.dumps([d for d in yaml.safe_load_all(open(sys.argv[1])) if d is not None]))";
    let json = run(tool("python3").args(["-c", program]).arg(yaml));
    serde_json::from_str(&json).expect("JSON")
}
