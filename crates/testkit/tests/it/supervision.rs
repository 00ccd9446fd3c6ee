//! What supervisors, load balancers and scrapers see of the two processes.

mod activation;
mod rotation;

use std::{os::unix::net::UnixDatagram, path::Path};

use examhall_testkit::{DatabaseKind, Process, RedisOptions, World, binary, eventually};
use tokio::process::Command;

use crate::{Api, TIMEOUT, last_number};

/// The port that a process says health and metrics are on.
async fn ops_port(process: &Process) -> u16 {
    last_number(&process.line("Health and metrics on port").await).expect("a port")
}

async fn get(port: u16, path: &str) -> (u16, String) {
    let answer = reqwest::get(format!("http://127.0.0.1:{port}{path}")).await.expect("an answer");
    (answer.status().as_u16(), answer.text().await.expect("a body"))
}

/// Waits until `/readyz` has this status, and returns its body.
async fn ready_with(port: u16, status: u16) -> serde_json::Value {
    let what = format!("/readyz answers {status}");
    let ask = || async {
        let (seen, body) = get(port, "/readyz").await;
        (seen == status).then_some(body)
    };
    serde_json::from_str(&eventually(&what, TIMEOUT, ask).await).expect("JSON")
}

/// Plays systemd: returns what the program sends until it has sent `last`.
async fn notifications(socket: &UnixDatagram, last: &str) -> Vec<String> {
    let mut received = Vec::new();
    eventually(&format!("systemd receives {last}"), TIMEOUT, || {
        let mut bytes = [0; 256];
        while let Ok(length) = socket.recv(&mut bytes) {
            received.extend(String::from_utf8_lossy(&bytes[..length]).lines().map(ToOwned::to_owned));
        }
        let found = received.iter().any(|line| line == last).then_some(());
        std::future::ready(found)
    })
    .await;
    received
}

async fn speaks_to_systemd(program: &str) {
    let mut world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notify");
    let socket = listen(&path);
    world.set("NOTIFY_SOCKET", path.to_str().expect("UTF-8"));
    world.set("WATCHDOG_USEC", "300000");
    let mut process = Process::spawn_binary(program, &[], world.settings());
    assert_eq!(notifications(&socket, "WATCHDOG=1").await.first().map(String::as_str), Some("READY=1"));
    notifications(&socket, "WATCHDOG=1").await; // again: it is fed for as long as it runs

    world.redis.process().freeze();
    notifications(&socket, "WATCHDOG=1").await;
    world.redis.process().thaw();

    process.terminate();
    notifications(&socket, "STOPPING=1").await;
    assert!(process.exit(TIMEOUT).await.success(), "{}", process.output());
}

fn listen(path: &Path) -> UnixDatagram {
    let socket = UnixDatagram::bind(path).expect("a socket");
    socket.set_nonblocking(true).expect("a socket");
    socket
}

#[tokio::test]
async fn the_api_tells_systemd_of_its_start_its_life_and_its_end() {
    speaks_to_systemd("api").await;
}

/// Starts the api as systemd does whose journal takes its stdout (1) or stderr (2).
fn journaled(world: &World, descriptor: u8, extra: &[(&str, &str)]) -> Process {
    let mut command = Command::new("sh");
    let script = format!("export JOURNAL_STREAM=$(stat -Lc %d:%i /proc/$$/fd/{descriptor}); exec \"$0\"");
    let folder = tempfile::tempdir().expect("a folder");
    command.args(["-c", &script]).arg(binary("api")).current_dir(folder.keep());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    Process::spawn("api", command.envs(world.settings()).envs(extra.iter().copied()))
}

#[tokio::test]
async fn lines_of_the_journal_begin_with_their_priority() {
    let mut world = World::start().await;
    let api = journaled(&world, 1, &[]);
    let started = api.line("Server running on port").await;
    let json = started.strip_prefix("<6>").expect("INFO");
    assert_eq!(serde_json::from_str::<serde_json::Value>(json).expect("JSON")["level"], "INFO");
    world.redis.kill().await;
    let warned = api.line("\"level\":\"WARN\"").await;
    assert!(warned.starts_with("<4>{"), "{warned}");

    let mut failed = journaled(&world, 2, &[("API_BIND", "nonsense")]);
    assert_eq!(failed.exit(TIMEOUT).await.code(), Some(78));
    assert!(failed.output().starts_with("<3>api: API_BIND"), "{}", failed.output());
    let other = journaled(&world, 2, &[]);
    let line = other.line("\"level\"").await;
    assert!(line.starts_with('{'), "its stdout leads elsewhere: {line}");
}

#[tokio::test]
async fn the_mailer_tells_systemd_of_its_start_its_life_and_its_end() {
    speaks_to_systemd("mailer").await;
}

#[tokio::test]
async fn a_mailer_with_a_frozen_redis_is_alive_and_not_ready() {
    let world = World::start().await;
    let mailer = world.mailer(&[]);
    let port = ops_port(&mailer).await;
    let before = ready_with(port, 200).await;
    assert_eq!(before["dependencies"]["smtp"]["state"], "unknown", "no mail was tried");

    world.redis.process().freeze();
    // Silence makes it unready; the question that gets no answer says so of Redis, a moment later.
    let down = eventually("Redis is down", TIMEOUT, || async {
        let down = ready_with(port, 503).await;
        (down["dependencies"]["redis"]["state"] == "down").then_some(down)
    });
    let down = down.await;
    assert!(down["dependencies"]["redis"]["since"].as_str() > before["dependencies"]["redis"]["since"].as_str());
    assert!(down["dependencies"]["redis"]["reason"].is_string(), "{down}");
    assert_eq!(get(port, "/healthz").await, (200, "ok\n".to_owned()), "Redis is no reason to restart");

    world.redis.process().thaw();
    assert_eq!(status_with(port, "redis", "up").await, 200);
}

#[tokio::test]
async fn an_api_without_redis_is_alive_and_ready() {
    let mut world = World::start().await;
    let api = world.api();
    let port = ops_port(&api).await;
    ready_with(port, 200).await;
    world.redis.kill().await;
    let state = eventually("both are down", TIMEOUT, || async {
        let (status, body) = get(port, "/readyz").await;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let down = |name: &str| body["dependencies"][name]["state"] == "down";
        (down("redis") && down("queue")).then_some((status, body))
    });
    let (status, body) = state.await;
    assert_eq!((status, &body["dependencies"]["database"]["state"]), (200, &"up".into()), "it reads the database");
    assert_eq!(get(port, "/healthz").await.0, 200);
}

/// Waits until `/readyz` reports this state of a dependency, and returns its status.
async fn status_with(port: u16, dependency: &str, state: &str) -> u16 {
    eventually(&format!("{dependency} is {state}"), TIMEOUT, || async {
        let (status, body) = get(port, "/readyz").await;
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        (body["dependencies"][dependency]["state"] == state).then_some(status)
    })
    .await
}

#[tokio::test]
async fn api_without_database_is_ready_for_cached_exams() {
    let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    let api = Api::start(&world).await;
    let port = ops_port(&api.process).await;
    let seeded = crate::seed(&world).await;
    let token = crate::token(&api, seeded["studentEmails"][0].as_str().expect("an address"), "examhall-demo").await;
    let sheet = format!("{}/exams/{}/questions", api.base, seeded["examId"].as_str().expect("an id"));
    let read = async || api.client.get(&sheet).bearer_auth(&token).send().await.expect("an answer").status();
    assert_eq!(read().await, 200);

    world.database.server().kill().await;
    assert_eq!(status_with(port, "database", "down").await, 200, "load balancers go on sending requests");
    assert_eq!(read().await, 200, "and this is why");
    let public = api.client.get(api.base.replace("/api/v1", "/readyz")).send().await.expect("an answer");
    assert_eq!(public.status(), 200);
    let body: serde_json::Value = public.json().await.expect("JSON");
    assert_eq!((&body["status"], &body["dependencies"]["database"]["state"]), (&"ready".into(), &"down".into()));

    world.redis.kill().await;
    assert_eq!(status_with(port, "redis", "down").await, 503, "it has nothing to serve");
    assert_eq!(get(port, "/healthz").await.0, 200, "restarting it would not help");

    world.redis.restart().await;
    assert_eq!(status_with(port, "redis", "up").await, 200);
    world.database.server().restart().await;
    assert_eq!(status_with(port, "database", "up").await, 200);
}

#[tokio::test]
async fn labels_hold_route_patterns_and_no_id_address_or_domain() {
    let world = World::start().await;
    let api = world.api();
    let port = ops_port(&api).await;
    let public = last_number(&api.line("Server running on port").await).expect("a port");
    let client = reqwest::Client::new();
    let at = |path: &str| format!("http://127.0.0.1:{public}{path}");
    let id = "01890000-0000-7000-8000-00000000beef";
    for path in [format!("/api/v1/exams/{id}"), "/nowhere/secret@planted.example".to_owned()] {
        client.get(at(&path)).send().await.expect("an answer");
    }
    let signup =
        serde_json::json!({"email": "ada@planted.example", "name": "Ada", "password": "correct horse battery"});
    client.post(at("/api/v1/auth/signup")).json(&signup).send().await.expect("an answer");
    client
        .request(reqwest::Method::from_bytes(b"PLANTED").expect("a method"), at("/healthz"))
        .send()
        .await
        .expect("one");

    let (_, text) = get(port, "/metrics").await;
    for expected in [
        r#"http_requests_total{method="GET",route="/api/v1/exams/{id}",status="401"} 1"#,
        r#"http_requests_total{method="GET",route="unknown",status="404"} 1"#,
        r#"method="other""#,
        r#"http_request_duration_seconds_bucket{method="POST",route="/api/v1/auth/signup",le="0.001"}"#,
        "http_requests_in_flight 0",
        r#"dependency_up{dependency="database"}"#,
        r#"database_connections{pool="write",state="open"}"#,
        "process_resident_memory_bytes",
        "process_cpu_seconds_total",
        "process_open_fds",
        "process_start_time_seconds",
    ] {
        assert!(text.contains(expected), "{expected} is not in\n{text}");
    }
    for secret in ["planted", "beef", "PLANTED", "@", "ada", "127.0.0.1"] {
        assert!(!text.contains(secret), "{secret} is in\n{text}");
    }
}

/// How many threads of this process handle requests.
fn http_threads(process: &Process) -> usize {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", process.pid())).expect("Linux");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    names.filter(|name| name.starts_with("actix-server wo")).count()
}

#[tokio::test]
async fn an_api_has_no_more_threads_than_it_may() {
    let mut world = World::start().await;
    let cores = std::thread::available_parallelism().expect("cores").get();
    for (most, expected) in [("1", 1), ("1024", cores)] {
        world.set("API_THREADS", most);
        let api = Api::start(&world).await;
        let started = async || (http_threads(&api.process) == expected).then_some(());
        eventually(&format!("{expected} threads"), TIMEOUT, started).await;
        assert_eq!(http_threads(&api.process), expected);
    }
}
