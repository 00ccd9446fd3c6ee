//! Requests that schemathesis makes up out of the OpenAPI document, sent as each kind of person: whatever somebody sends,
//! the answer is one that the document names, in the shape it gives, and never a failure of the server.

use std::{path::Path, time::Duration};

use examhall_testkit::Process;
use tokio::process::Command;

use crate::Api;

/// For one run; a busy machine takes minutes.
const PATIENCE: Duration = Duration::from_mins(25);
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// Where `scripts/install.sh` puts it.
fn packages() -> &'static Path {
    let packages = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/schemathesis"));
    assert!(packages.exists(), "schemathesis is missing: `./scripts/test fuzz` installs it");
    packages
}

async fn answers_as_documented(api: Api, token: Option<String>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (phases, examples) = match std::env::var_os("EXAMHALL_LONG") {
        Some(_) => ("examples,coverage,fuzzing,stateful", "100"),
        None => ("examples,fuzzing", "4"),
    };
    let mut command = Command::new("python3");
    command.args(["-m", "schemathesis.cli", "--no-color", "run", &format!("{}/openapi.json", api.base)]);
    command.args(["--checks", CHECKS, "--phases", phases, "--max-examples", examples, "--request-timeout", "60"]);
    command.args(["--no-shrink", "--continue-on-failure", "--warnings", "off", "--suppress-health-check", "all"]);
    command.args(token.map(|token| format!("--header=Authorization: Bearer {token}")));
    command.env("PYTHONPATH", packages()).current_dir(folder.path()); // it keeps notes where it runs
    let mut run = Process::spawn("schemathesis", &mut command);
    let status = run.exit(PATIENCE).await;
    assert!(status.success(), "{}", run.output());
    api.stop().await;
}

#[tokio::test]
async fn whatever_nobody_in_particular_sends_is_answered_as_documented() {
    let api = Api::start().await;
    answers_as_documented(api, None).await;
}

#[tokio::test]
async fn whatever_a_student_sends_is_answered_as_documented() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let token = api.log_in(&seeded["studentEmails"][0]).await;
    answers_as_documented(api, Some(token)).await;
}

#[tokio::test]
async fn whatever_an_author_sends_is_answered_as_documented() {
    let api = Api::start().await;
    let seeded = api.seed().await;
    let token = api.log_in(&seeded["authorEmail"]).await;
    answers_as_documented(api, Some(token)).await;
}

#[tokio::test]
async fn whatever_an_administrator_sends_is_answered_as_documented() {
    let api = Api::start().await;
    let token = api.admin().await;
    answers_as_documented(api, Some(token)).await;
}
