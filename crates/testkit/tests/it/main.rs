//! The whole system, as its users run it: `api` and `mailer` as processes. And the rules of the codebase.

mod attempts;
mod checklist;
mod checks;
mod commands;
mod database;
mod database_faults;
mod deploy;
mod exam_start;
mod exam_start_changes;
mod exam_start_chaos;
mod exam_start_crowd;
mod exam_start_faults;
mod exam_start_redis;
mod guide;
mod live;
mod lost;
mod memory;
mod migrate;
mod modes;
mod module_graph;
mod operators_docs;
mod outage;
mod outbox;
mod path;
mod poison;
mod publication;
mod queued_is_sent;
mod quick_start;
mod redis_guide;
mod regrade;
mod rolling;
mod rules;
mod supervision;
mod survival;
mod traces;
mod usage;
mod words;

use std::time::Duration;

use examhall_testkit::{Process, Received, World, eventually};
use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};

const TIMEOUT: Duration = Duration::from_mins(1);

/// A running `api`, and how to call it.
struct Api {
    process: Process,
    client: Client,
    base: String,
}

impl Api {
    async fn start(world: &World) -> Self {
        let process = world.api();
        let line = process.line("Server running on port").await;
        let port: u16 = last_number(&line).expect("a port");
        let api = Self { process, client: Client::new(), base: format!("http://127.0.0.1:{port}/api/v1") };
        eventually("ready", TIMEOUT, async || {
            let ready = api.client.get(format!("http://127.0.0.1:{port}/readyz")).send().await.ok()?;
            (ready.status() == StatusCode::OK).then_some(())
        })
        .await;
        api
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.client.post(format!("{}{path}", self.base)).json(body).send().await.expect("an answer")
    }

    async fn sign_up(&self, email: &str) {
        let body = json!({"email": email, "name": "Ada", "password": "correct horse"});
        assert_eq!(self.post("/auth/signup", &body).await.status(), 202, "{}", self.process.output());
    }

    /// Has a mail sent; returns its job's id.
    async fn mail(&self, admin: &str, mail: &Value) -> String {
        let request = self.client.post(format!("{}/emails", self.base)).bearer_auth(admin).json(mail);
        let answer: Value = request.send().await.expect("an answer").json().await.expect("JSON");
        answer["jobId"].as_str().expect("an id").to_owned()
    }

    async fn log_in(&self, email: &str, password: &str) -> Response {
        self.post("/auth/login", &json!({"email": email, "password": password})).await
    }
}

/// The number that a line ends with, JSON or not.
fn last_number(line: &str) -> Option<u16> {
    line.rsplit(|c: char| !c.is_ascii_digit()).find(|digits| !digits.is_empty())?.parse().ok()
}

/// The token of the link in a mail, whose text is quoted-printable.
fn token_in(mail: &Received) -> String {
    let text = mail.message.replace("=\r\n", "").replace("=3D", "=");
    let after = text.split("/verify?token=").nth(1).expect("a link");
    after.split(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_').next().expect("a token").to_owned()
}

/// Runs `api seed` and returns what it prints.
async fn seed(world: &World) -> Value {
    let args = ["seed", "--questions", "20", "--students", "1", "--json"];
    let mut seeding = Process::spawn_binary("api", &args, world.settings());
    assert!(seeding.exit(TIMEOUT).await.success(), "{}", seeding.output());
    // What is tested is the cache: each reads the sheet, and nobody sits the exam.
    world.database.sql("UPDATE exams SET paper = 'whileOpen'").await;
    serde_json::from_str(seeding.output().lines().last().expect("a line")).expect("JSON")
}

/// Logs in as the administrator that `api create-user` makes.
async fn administrator(world: &World, api: &Api) -> String {
    let args = ["create-user", "--email", "root@example.com", "--role", "admin"];
    let mut making = Process::spawn_binary("api", &args, world.settings());
    assert!(making.exit(TIMEOUT).await.success(), "{}", making.output());
    let output = making.output();
    let password = output.lines().find_map(|line| line.strip_prefix("password ")).expect("a password");
    token(api, "root@example.com", password).await
}

async fn token(api: &Api, email: &str, password: &str) -> String {
    let answer: Value = api.log_in(email, password).await.json().await.expect("JSON");
    answer["accessToken"].as_str().expect("a token").to_owned()
}
