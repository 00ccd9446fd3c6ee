//! A Redis that answers and takes no writes: everything that an operator asks says so.

use examhall_testkit::{Process, World, eventually};
use serde_json::Value;

use crate::{Api, TIMEOUT, last_number};

/// Waits until `/readyz` of a process has this state of a dependency, and returns its status and the reason.
pub(crate) async fn readiness(process: &Process, dependency: &str, state: &str) -> (u16, String) {
    let port = last_number(&process.line("Health and metrics on port").await).expect("a port");
    eventually(&format!("{dependency} is {state}"), TIMEOUT, || async {
        let answer = reqwest::get(format!("http://127.0.0.1:{port}/readyz")).await.expect("an answer");
        let status = answer.status().as_u16();
        let body: Value = answer.json().await.expect("JSON");
        let found = &body["dependencies"][dependency];
        (found["state"] == state).then(|| (status, found["reason"].as_str().unwrap_or_default().to_owned()))
    })
    .await
}

/// What a command prints, and its exit code.
async fn run(world: &World, program: &str, args: &[&str]) -> (i32, String) {
    let mut command = Process::spawn_binary(program, args, world.settings());
    let code = command.exit(TIMEOUT).await.code().expect("a code");
    (code, command.output())
}

/// Fails the test where one of them does not report `code`, and `sentence` to people.
async fn all_report(world: &World, api: &Api, mailer: &Process, code: &str, sentence: &str) {
    let (status, reason) = readiness(&api.process, "queue", "down").await;
    assert!(status == 200 && reason.contains(code), "the database answers: {status} {reason}");
    let (_, reason) = readiness(mailer, "redis", "down").await;
    assert!(reason.contains(code), "{reason}");
    for program in ["api", "mailer"] {
        let (exit, output) = run(world, program, &["check"]).await;
        let line = output.lines().find(|line| line.contains("Redis writes")).expect(&output);
        assert!(exit == 69 && line.starts_with("FAILED") && line.ends_with(&format!("refused: {code}")), "{output}");
    }
    let (exit, output) = run(world, "mailer", &["queue", "status"]).await;
    assert!(exit == 0 && output.lines().any(|line| line == sentence), "{output}");
}

async fn is_reported(refuse: &str, accept: &str, code: &str, sentence: &str) {
    let world = World::start().await;
    let (api, mailer) = (Api::start(&world).await, world.mailer(&[]));
    readiness(&api.process, "queue", "up").await;
    readiness(&mailer, "redis", "up").await;
    world.redis.cmd::<String>(refuse).await;
    all_report(&world, &api, &mailer, code, sentence).await;

    api.sign_up("ada@example.com").await;
    world.redis.cmd::<String>(accept).await;
    readiness(&api.process, "queue", "up").await;
    readiness(&mailer, "redis", "up").await;
    let (exit, output) = run(&world, "api", &["check"]).await;
    assert!(exit == 0 && output.lines().any(|line| line.starts_with("ok") && line.ends_with("accepted")), "{output}");
    world.smtp.wait_for(1).await;
}

#[tokio::test]
async fn a_full_redis_is_reported_everywhere() {
    is_reported("CONFIG SET maxmemory 1", "CONFIG SET maxmemory 0", "OOM", "No: Redis is full (OOM).").await;
}

#[tokio::test]
async fn a_read_only_redis_is_reported_everywhere() {
    let sentence = "No: Redis is a read-only replica (READONLY).";
    is_reported("REPLICAOF 127.0.0.1 1", "REPLICAOF NO ONE", "READONLY", sentence).await;
}
