//! A new version comes: one process after the other is replaced under load, and nobody notices.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use examhall_testkit::{DatabaseKind, Process, RedisOptions, World, eventually};
use futures_util::future::join_all;
use reqwest::{Client, StatusCode};
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, administrator, last_number, seed, token};

const USERS: usize = 100;
/// Requests of each user between two replacements.
const ROUND: u64 = 300;

/// What a load balancer does: it asks each process whether it is ready, and sends requests to those that are.
struct Balancer {
    ready: Mutex<Vec<Arc<Backend>>>,
}

struct Backend {
    base: String,
    client: Client,
    ready: AtomicBool,
}

impl Balancer {
    /// Takes a process in, and looks after it until it has gone.
    fn add(&self, api: &Api) -> Arc<Backend> {
        // A connection that was opened and then not needed gets 408 after 5 s: as a balancer, do not take it any more then.
        let client = Client::builder().pool_max_idle_per_host(USERS).pool_idle_timeout(Duration::from_secs(2));
        let client = client.build().expect("a client");
        let backend = Arc::new(Backend { base: api.base.clone(), client, ready: AtomicBool::new(true) });
        self.ready.lock().expect("no panic").push(Arc::clone(&backend));
        let probed = Arc::clone(&backend);
        tokio::spawn(async move {
            let url = probed.base.replace("/api/v1", "/readyz");
            let asker = Client::new();
            loop {
                let answer = asker.get(&url).send().await;
                let is_ready = answer.is_ok_and(|answer| answer.status() == StatusCode::OK);
                probed.ready.store(is_ready, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        });
        backend
    }

    fn pick(&self, n: usize) -> Arc<Backend> {
        let all = self.ready.lock().expect("no panic");
        let ready: Vec<_> = all.iter().filter(|backend| backend.ready.load(Ordering::SeqCst)).collect();
        Arc::clone(ready[n % ready.len()])
    }
}

async fn stop(process: &mut Process) {
    process.terminate();
    assert!(process.exit(TIMEOUT).await.success(), "{}", process.output());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_under_load_loses_no_request_and_no_mail() {
    // As in production: SQLite is for one process.
    let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    world.set("API_DRAIN_DELAY_MS", "3000");
    let mut old = [Api::start(&world).await, Api::start(&world).await];
    let mut mailers = [world.mailer(&[]), world.mailer(&[])];
    let seeded = seed(&world).await;
    let student = token(&old[0], seeded["studentEmails"][0].as_str().expect("text"), "examhall-demo").await;
    let admin = administrator(&world, &old[0]).await;
    let sheet = format!("/exams/{}/questions", seeded["examId"].as_str().expect("an id"));

    let balancer = Balancer { ready: Mutex::default() };
    for api in &old {
        drop(balancer.add(api));
    }
    let (done, mails, stopped) = (AtomicU64::new(0), AtomicU64::new(0), AtomicBool::new(false));
    let user = async |n: usize| {
        let (mut turn, mails_at) = (0, 5 + n % 20); // not all at once
        while turn <= mails_at || !stopped.load(Ordering::SeqCst) {
            let backend = balancer.pick(n + turn);
            let request = if turn == mails_at {
                let mail = json!({"to": format!("user{n}@example.com"), "subject": "Hello", "html": "<p>Hello</p>"});
                backend.client.post(format!("{}/emails", backend.base)).bearer_auth(&admin).json(&mail)
            } else {
                backend.client.get(format!("{}{sheet}", backend.base)).bearer_auth(&student)
            };
            let answer = request.send().await.unwrap_or_else(|error| panic!("request {turn} of user {n}: {error:?}"));
            let expected = if turn == mails_at { StatusCode::ACCEPTED } else { StatusCode::OK };
            assert_eq!(answer.status(), expected, "request {turn} of user {n}");
            answer.bytes().await.unwrap_or_else(|error| panic!("answer {turn} of user {n}: {error:?}"));
            mails.fetch_add(u64::from(turn == mails_at), Ordering::SeqCst);
            done.fetch_add(1, Ordering::SeqCst);
            turn += 1;
        }
    };
    let after = async |requests: u64| {
        let goal = done.load(Ordering::SeqCst) + requests;
        let reached = || async { (done.load(Ordering::SeqCst) >= goal).then_some(()) };
        eventually("requests go on", TIMEOUT, reached).await;
    };
    let rollout = async {
        let mut new = Vec::new();
        for (api, mailer) in old.iter_mut().zip(&mut mailers) {
            after(ROUND).await;
            let (next, next_mailer) = (Api::start(&world).await, world.mailer(&[]));
            next_mailer.line("Mailer running").await;
            balancer.add(&next);
            stop(mailer).await;
            stop(&mut api.process).await;
            new.push((next, next_mailer));
        }
        after(ROUND.max(USERS as u64 * 10)).await;
        stopped.store(true, Ordering::SeqCst);
        new
    };
    let (_, _new) = tokio::join!(join_all((0..USERS).map(user)), rollout);

    let sent = usize::try_from(mails.load(Ordering::SeqCst)).expect("a small number");
    assert_eq!(sent, USERS, "each user sends one");
    let mut arrived: Vec<_> = world.smtp.wait_for(sent).await.into_iter().flat_map(|mail| mail.to).collect();
    arrived.sort();
    arrived.dedup();
    assert_eq!(arrived.len(), USERS, "each mail has arrived");
    assert_eq!(world.smtp.received().len(), USERS, "and none twice");
}

#[tokio::test]
async fn a_stopping_api_is_not_ready_and_still_answers() {
    let mut world = World::start().await;
    world.set("API_DRAIN_DELAY_MS", "60000");
    let mut api = Api::start(&world).await;
    let base = api.base.replace("/api/v1", "");
    assert!(api.client.get(format!("{base}/healthz")).send().await.is_ok());
    api.process.terminate();
    let body: Value = eventually("not ready", TIMEOUT, || async {
        let answer = api.client.get(format!("{base}/readyz")).send().await.expect("it still answers");
        (answer.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await
    .json()
    .await
    .expect("JSON");
    assert_eq!(body["status"], "stopping");
    let answer = api.client.get(format!("{base}/openapi.json")).send().await.expect("it still answers");
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["connection"], "close", "or the next request might meet a closed door");

    api.process.terminate();
    assert_eq!(api.process.exit(TIMEOUT).await.code(), Some(130), "a second signal ends it at once");
    let port = last_number(&base).expect("a port");
    assert!(tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err());
}
