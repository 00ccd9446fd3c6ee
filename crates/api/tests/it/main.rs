//! Tests of the API's routes, in process, each in a world of its own.

mod account;
mod account_data;
mod account_email;
mod addresses;
mod attempts;
mod auth;
mod authorization;
mod bad_input;
mod browser;
mod browser_data;
mod console;
mod console_mails;
mod edges;
mod email_search;
mod emails;
mod exam_documents;
mod exam_files;
mod exams;
mod explained;
mod faults;
mod fuzz;
mod hang_up;
mod hooks;
mod idempotency;
mod invitations;
mod languages;
mod leaks;
mod limits;
mod lists;
mod openapi;
mod operations;
mod pages;
mod public_url;
mod questions;
mod races;
mod refresh;
mod regrade;
mod results;
mod revoked;
mod running;
mod schemas;
mod seats;
mod sign_up;
mod story;
mod story_guests;
mod users;
mod wire;

use examhall_api::Application;
use examhall_boot::{
    metrics::Metrics,
    settings::{ApiSettings, Values},
};
use examhall_testkit::{DatabaseKind, RedisOptions, World, eventually};
use reqwest::{Client, Method, RequestBuilder, Response};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// The test on SQLite and on PostgreSQL, where the database matters.
macro_rules! on_both {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test] async fn $test() { super::$test($crate::DatabaseKind::Sqlite).await; })*
        }
        mod postgres {
            $(#[tokio::test] async fn $test() { super::$test($crate::DatabaseKind::Postgres).await; })*
        }
    };
}
pub(crate) use on_both;

const TIMEOUT: Duration = Duration::from_mins(1);

/// The API in a world of its own.
struct Api {
    world: World,
    client: Client,
    base: String,
    stop: CancellationToken,
    running: JoinHandle<()>,
}

impl Api {
    async fn start() -> Self {
        Self::start_on(DatabaseKind::usual()).await
    }

    async fn start_on(database: DatabaseKind) -> Self {
        Self::start_in(World::start_with(database, RedisOptions::default()).await).await
    }

    async fn start_in(world: World) -> Self {
        let values = Values::from_pairs(world.settings()).expect("good settings");
        let settings = ApiSettings::checked(&values).expect("good settings");
        let stop = CancellationToken::new();
        let started = Box::pin(Application::start(settings, Metrics::install(), stop.clone())).await.expect("started");
        let app = started.expect("not stopped before");
        let base = format!("http://{}", app.address().expect("an address"));
        let running = tokio::spawn(async move { app.run().await.expect("ran") });
        let api = Self { world, client: Client::new(), base, stop, running };
        eventually("ready", TIMEOUT, async || (api.get("/readyz").await.status() == 200).then_some(())).await;
        api
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, format!("{}{path}", self.base))
    }

    async fn get(&self, path: &str) -> Response {
        self.request(Method::GET, path).send().await.expect("an answer")
    }

    async fn post(&self, path: &str, body: &Value) -> Response {
        self.request(Method::POST, path).json(body).send().await.expect("an answer")
    }

    /// Sends a request with an access token.
    async fn send(&self, method: Method, path: &str, token: &str, body: &Value) -> Response {
        let mut request = self.request(method, &format!("/api/v1{path}")).bearer_auth(token);
        if !body.is_null() {
            request = request.json(body);
        }
        request.send().await.expect("an answer")
    }

    /// As [`send`](Self::send); returns status and body, `null` where there is none.
    async fn call(&self, method: Method, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let response = self.send(method, path, token, body).await;
        let status = response.status().as_u16();
        (status, response.json().await.unwrap_or_default())
    }

    /// As [`call`](Self::call), where the answer must be this status.
    async fn expect(&self, status: u16, method: Method, path: &str, token: &str, body: &Value) -> Value {
        let (found, answer) = self.call(method.clone(), path, token, body).await;
        assert_eq!(found, status, "{method} {path}: {answer}");
        answer
    }

    async fn sign_up(&self, email: &str) -> Response {
        self.post("/api/v1/auth/signup", &json!({"email": email, "name": "Ada", "password": "correct horse"})).await
    }

    /// The one job in the queue, as its hash.
    async fn only_mail(&self) -> Value {
        eventually("a mail in the queue", TIMEOUT, async || {
            let ids: Vec<String> = self.world.redis.cmd("ZRANGE bull:email:prioritized 0 -1").await;
            let id = ids.first()?;
            let data: String = self.world.redis.cmd(&format!("HGET bull:email:{id} data")).await;
            Some(serde_json::from_str(&data).expect("JSON"))
        })
        .await
    }

    /// The first `count` mails in the queue to an address, oldest first.
    async fn mails_to(&self, email: &str, count: usize) -> Vec<Value> {
        eventually("mails in the queue", TIMEOUT, async || {
            let ids: Vec<String> = self.world.redis.cmd("ZRANGE bull:email:prioritized 0 -1").await;
            let mut mails = Vec::new();
            for id in ids {
                let data: String = self.world.redis.cmd(&format!("HGET bull:email:{id} data")).await;
                mails.push(serde_json::from_str::<Value>(&data).expect("JSON"));
            }
            mails.retain(|mail| mail["to"] == email);
            (mails.len() >= count).then_some(mails)
        })
        .await
    }

    /// The token of the link in a mail.
    fn token_in(mail: &Value) -> String {
        let text = mail["text"].as_str().expect("a text");
        let after = text.split("/verify?token=").nth(1).expect("a link");
        after.split_whitespace().next().expect("a token").to_owned()
    }

    /// Makes an exam with two questions and accounts of every role; returns what `api seed` prints.
    async fn seed(&self) -> Value {
        self.seed_with(2, 1).await
    }

    /// The same, with an exam whose questions may be read without an attempt.
    async fn seed_while_open(&self) -> Value {
        let seeded = self.seed().await;
        self.world.database.sql("UPDATE exams SET paper = 'whileOpen'").await;
        seeded
    }

    async fn seed_with(&self, questions: usize, students: usize) -> Value {
        let mut seeding = examhall_testkit::Process::spawn_binary(
            "api",
            &["seed", "--questions", &questions.to_string(), "--students", &students.to_string(), "--json"],
            self.world.settings(),
        );
        assert!(seeding.exit(TIMEOUT).await.success(), "{}", seeding.output());
        serde_json::from_str(seeding.output().lines().last().expect("a line")).expect("JSON")
    }

    /// Logs in with the password of the seeded accounts; returns the access token.
    async fn log_in(&self, email: &Value) -> String {
        let body = json!({"email": email, "password": "examhall-demo"});
        let answer: Value = self.post("/api/v1/auth/login", &body).await.json().await.expect("JSON");
        answer["accessToken"].as_str().expect("a token").to_owned()
    }

    /// Makes an administrator and logs them in; returns the access token.
    async fn admin(&self) -> String {
        self.log_in_as("admin").await
    }

    /// Makes an account of a role and logs it in; returns the access token.
    async fn log_in_as(&self, role: &str) -> String {
        let (email, password) = self.create_user(role).await;
        let body = json!({"email": email, "password": password});
        let answer: Value = self.post("/api/v1/auth/login", &body).await.json().await.expect("JSON");
        answer["accessToken"].as_str().expect("a token").to_owned()
    }

    /// Makes an account of a role; returns its address and password.
    async fn create_user(&self, role: &str) -> (String, String) {
        let email = if role == "admin" { "root@example.com".to_owned() } else { format!("{role}@example.com") };
        let args = ["create-user", "--email", &email, "--role", role];
        let mut made = examhall_testkit::Process::spawn_binary("api", &args, self.world.settings());
        assert!(made.exit(TIMEOUT).await.success(), "{}", made.output());
        let output = made.output();
        let password = output.lines().find_map(|line| line.strip_prefix("password ")).expect("a password");
        (email, password.to_owned())
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.expect("stopped");
    }
}

/// Checks that an answer is a problem document, and returns it.
async fn problem(response: Response, status: u16) -> Value {
    let kind = response.headers().get("content-type").map(|value| value.to_str().expect("text").to_owned());
    let id = response.headers().get("x-request-id").map(|value| value.to_str().expect("text").to_owned());
    let found = response.status().as_u16();
    let body: Value = response.json().await.expect("JSON");
    assert_eq!((found, kind.as_deref()), (status, Some("application/problem+json")), "{body}");
    assert_eq!(body["status"], status);
    assert_eq!(body["requestId"].as_str().map(ToOwned::to_owned), id);
    assert!(body["type"].is_string() && body["title"].is_string() && body["detail"].is_string(), "{body}");
    body
}
