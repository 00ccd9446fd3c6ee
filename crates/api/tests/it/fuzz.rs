//! Requests that schemathesis makes up out of the OpenAPI document, sent as each kind of person: whatever somebody sends,
//! the answer is one that the document names, in its shape, and never a failure of the server.

use std::{path::Path, time::Duration};

use examhall_boot::metrics::Metrics;
use examhall_testkit::Process;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::Api;

/// For one run; a busy machine takes minutes.
const TIMEOUT: Duration = Duration::from_mins(25);
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// schemathesis.toml: no control characters in headers. That is no HTTP, so actix answers it with a bare 400 before any
/// code of ours runs; `wire.rs` tries it.
fn sendable() -> String {
    let controls = (0..0x20).chain([0x7f]).filter(|code| *code != 0x09);
    let controls = controls.map(|code| format!("\\u{code:04x}")).collect::<Vec<_>>().concat();
    format!("[generation]\nexclude-header-characters = \"{controls}\"\n")
}

/// Where `scripts/install.sh` puts it.
fn packages() -> &'static Path {
    let packages = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../data/schemathesis"));
    assert!(packages.exists(), "schemathesis is missing: `./scripts/test fuzz` installs it");
    packages
}

/// Where there is something to find: an exam with questions, an attempt that its student has begun, a result, a mail.
struct Hall {
    api: Api,
    student: String,
    author: String,
    admin: String,
    /// schemathesis.toml: what to put in place of `{id}`, now and then.
    ids: String,
}

impl Hall {
    async fn open() -> Self {
        let api = Api::start().await;
        let seeded = api.seed_with(3, 2).await;
        let student = api.log_in(&seeded["studentEmails"][0]).await;
        let (author, admin) = (api.log_in(&seeded["authorEmail"]).await, api.admin().await);
        let (exam, nothing) = (seeded["examId"].as_str().expect("an id"), &Value::Null);
        let attempts = format!("/exams/{exam}/attempts");
        let change = json!({"maxAttempts": 2});
        api.expect(200, Method::PATCH, &format!("/exams/{exam}"), &author, &change).await;
        let first = api.expect(201, Method::POST, &attempts, &student, nothing).await;
        let submit = format!("/attempts/{}/submit", first["id"].as_str().expect("an id"));
        let result = api.expect(200, Method::POST, &submit, &student, nothing).await;
        let attempt = api.expect(201, Method::POST, &attempts, &student, nothing).await;
        let sheet = api.expect(200, Method::GET, &format!("/exams/{exam}/questions"), &student, nothing).await;
        let mail = json!({"to": "ada@example.com", "subject": "Hello", "html": "Hello", "delayMs": 3_600_000});
        let mail = api.expect(202, Method::POST, "/emails", &admin, &mail).await;
        // Now and then: ids that nothing has are to be tried, too.
        let of = |path: &str, id: &Value| {
            let found = format!("{{ dictionary = \"{path}\", probability = 0.7 }}");
            format!(
                "[dictionaries.{path}]\nvalues = [{id}]\n[[operations]]\ninclude-path-regex = \
                 \"^/api/v1/{path}/[{{]id\"\nparameters = {{ \"path.id\" = {found} }}\n"
            )
        };
        let ids = of("exams", &seeded["examId"])
            + &of("questions", &sheet["questions"][0]["id"])
            + &of("attempts", &attempt["id"])
            + &of("results", &result["id"])
            + &of("users", &seeded["authorId"])
            + &of("emails", &mail["jobId"]);
        Self { api, student, author, admin, ids }
    }
}

/// How many requests named something that is there.
fn found() -> u64 {
    let metrics = Metrics::install().render();
    let counts = metrics.lines().filter(|line| line.starts_with("http_requests_total") && line.contains("/{id}"));
    let good = counts.filter(|line| line.contains("status=\"20"));
    good.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

async fn answers_as_documented(api: Api, token: Option<String>, settings: &str) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("schemathesis.toml"), sendable() + settings).expect("written");
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
    let before = found();
    let mut run = Process::spawn("schemathesis", &mut command);
    let status = run.exit(TIMEOUT).await;
    assert!(status.success(), "{}", run.output());
    assert!(settings.is_empty() || found() > before, "no id was tried that something has");
    api.stop().await;
}

#[tokio::test]
async fn requests_of_anonymous_clients_get_documented_answers() {
    answers_as_documented(Api::start().await, None, "").await;
}

#[tokio::test]
async fn whatever_a_student_sends_is_answered_as_documented() {
    let Hall { api, student, ids, .. } = Hall::open().await;
    answers_as_documented(api, Some(student), &ids).await;
}

#[tokio::test]
async fn whatever_an_author_sends_is_answered_as_documented() {
    let Hall { api, author, ids, .. } = Hall::open().await;
    answers_as_documented(api, Some(author), &ids).await;
}

#[tokio::test]
async fn whatever_an_administrator_sends_is_answered_as_documented() {
    let Hall { api, admin, ids, .. } = Hall::open().await;
    answers_as_documented(api, Some(admin), &ids).await;
}
