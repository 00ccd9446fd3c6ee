//! An API on a socket that its supervisor holds: a restart refuses nobody.

use std::{
    net::TcpListener,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use examhall_testkit::{Process, World, eventually};
use futures_util::future::join_all;
use reqwest::Client;

use crate::TIMEOUT;

/// Clients at once; each connects again for every request.
const CLIENTS: usize = 100;

/// What the clients saw.
#[derive(Default)]
struct Seen {
    answers: AtomicUsize,
    stop: AtomicBool,
}

/// Requests again and again; returns what was not answered with 200.
async fn client(url: String, seen: Arc<Seen>) -> Vec<String> {
    let client = Client::builder().pool_max_idle_per_host(0).build().expect("a client");
    let mut failures = Vec::new();
    while !seen.stop.load(Ordering::SeqCst) {
        match client.get(&url).send().await {
            Ok(answer) if answer.status() == 200 => {
                seen.answers.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => failures.push(answer.status().to_string()),
            Err(error) => failures.push(format!("{error:?}")),
        }
    }
    failures
}

async fn more_answers(seen: &Seen) {
    let wanted = seen.answers.load(Ordering::SeqCst) + 3 * CLIENTS;
    eventually("answers", TIMEOUT, async || (seen.answers.load(Ordering::SeqCst) >= wanted).then_some(())).await;
}

#[tokio::test]
async fn a_restart_on_an_inherited_socket_refuses_nobody() {
    let world = World::start().await;
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("an address").port();
    let start = || Process::spawn_activated("api", &socket, world.settings());
    let mut api = start();
    api.line(&format!("Server running on port {port}")).await;
    let seen = Arc::new(Seen::default());
    let url = format!("http://127.0.0.1:{port}/healthz");
    let clients: Vec<_> = (0..CLIENTS).map(|_| tokio::spawn(client(url.clone(), Arc::clone(&seen)))).collect();
    for _ in 0..3 {
        more_answers(&seen).await;
        api.terminate();
        assert!(api.exit(TIMEOUT).await.success(), "{}", api.output());
        api = start();
    }
    more_answers(&seen).await;
    seen.stop.store(true, Ordering::SeqCst);
    let failures: Vec<_> = join_all(clients).await.into_iter().flat_map(|ended| ended.expect("no panic")).collect();
    let (count, answers) = (failures.len(), seen.answers.load(Ordering::SeqCst));
    assert_eq!(count, 0, "{answers} answers, and {failures:#?}");
}
