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
use tokio::task::JoinHandle;

use crate::TIMEOUT;

/// Clients at once.
const CLIENTS: usize = 100;

/// What the clients saw.
#[derive(Default)]
struct Seen {
    answers: AtomicUsize,
    stop: AtomicBool,
}

/// Clients that request this again and again, with this token.
pub(super) struct Load {
    seen: Arc<Seen>,
    clients: Vec<JoinHandle<Vec<String>>>,
}

impl Load {
    pub(super) fn start(clients: usize, url: &str, token: &str) -> Self {
        let seen = Arc::new(Seen::default());
        let clients = (0..clients).map(|_| tokio::spawn(client(url.to_owned(), token.to_owned(), Arc::clone(&seen))));
        Self { clients: clients.collect(), seen }
    }

    /// Waits until each could have had three more answers.
    pub(super) async fn more_answers(&self) {
        let answers = || self.seen.answers.load(Ordering::SeqCst);
        let wanted = answers() + 3 * self.clients.len();
        eventually("answers", TIMEOUT, async || (answers() >= wanted).then_some(())).await;
    }

    /// Stops, and fails the test where a request was not answered with 200.
    pub(super) async fn stop(self) {
        self.seen.stop.store(true, Ordering::SeqCst);
        let ended = join_all(self.clients).await;
        let failures: Vec<_> = ended.into_iter().flat_map(|ended| ended.expect("no panic")).collect();
        assert!(failures.is_empty(), "{} of {:?}: {failures:#?}", failures.len(), self.seen.answers);
    }
}

/// Requests until it is stopped, each time on a new connection; returns what was not answered with 200.
async fn client(url: String, token: String, seen: Arc<Seen>) -> Vec<String> {
    let client = Client::builder().pool_max_idle_per_host(0).build().expect("a client");
    let mut failures = Vec::new();
    while !seen.stop.load(Ordering::SeqCst) {
        match client.get(&url).bearer_auth(&token).send().await {
            Ok(answer) if answer.status() == 200 => {
                seen.answers.fetch_add(1, Ordering::SeqCst);
            }
            Ok(answer) => failures.push(answer.status().to_string()),
            Err(error) => failures.push(format!("{error:?}")),
        }
    }
    failures
}

#[tokio::test]
async fn a_restart_on_an_inherited_socket_refuses_nobody() {
    let world = World::start().await;
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = socket.local_addr().expect("an address").port();
    let start = || Process::spawn_activated("api", &socket, world.settings());
    let mut api = start();
    api.line(&format!("Server running on port {port}")).await;
    let load = Load::start(CLIENTS, &format!("http://127.0.0.1:{port}/healthz"), "");
    for _ in 0..3 {
        load.more_answers().await;
        api.terminate();
        assert!(api.exit(TIMEOUT).await.success(), "{}", api.output());
        api = start();
    }
    load.more_answers().await;
    load.stop().await;
}
