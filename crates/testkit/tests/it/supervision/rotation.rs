//! A new `AUTH_SECRET` under load: no session, no mail and no link is lost.

use std::net::TcpListener;

use examhall_testkit::{Process, World};
use reqwest::Client;
use serde_json::json;

use super::activation::Load;
use crate::{Api, TIMEOUT, seed, token, token_in};

const OLD: &str = "the-secret-of-last-year-0123456789";
const NEW: &str = "the-secret-of-this-year-9876543210";
const CLIENTS: usize = 20;

/// An API on this socket whose `AUTH_SECRET` is this.
fn start(world: &World, socket: &TcpListener, secret: &str) -> Process {
    let mut settings = world.settings();
    settings.push(("AUTH_SECRET".to_owned(), secret.to_owned()));
    Process::spawn_activated("api", socket, settings)
}

async fn restart(api: &mut Api, world: &World, socket: &TcpListener, secret: &str) {
    api.process.terminate();
    assert!(api.process.exit(TIMEOUT).await.success(), "{}", api.process.output());
    api.process = start(world, socket, secret);
    api.process.line("Server running on port").await;
}

#[tokio::test]
async fn a_secret_is_changed_under_load_and_nothing_fails() {
    let mut world = World::start().await;
    let socket = TcpListener::bind("127.0.0.1:0").expect("a port");
    let base = format!("http://{}/api/v1", socket.local_addr().expect("an address"));
    let mut api = Api { process: start(&world, &socket, OLD), client: Client::new(), base };
    api.process.line("Server running on port").await;
    let seeded = seed(&world).await;
    let student = seeded["studentEmails"][0].as_str().expect("an address");
    let old = token(&api, student, "examhall-demo").await;
    world.redis.kill().await;
    api.sign_up("ada@example.com").await; // its link is sealed with the old secret, and waits

    let me = format!("{}/users/me", api.base);
    let load = Load::start(CLIENTS, &me, &old);
    for secret in [format!("{OLD},{NEW}"), format!("{NEW},{OLD}")] {
        load.more_answers().await;
        restart(&mut api, &world, &socket, &secret).await;
    }
    load.more_answers().await;
    load.stop().await;
    world.redis.restart().await;
    let _mailer = world.mailer(&[]);
    let link = token_in(&world.smtp.wait_for(1).await[0]);
    assert_eq!(api.post("/auth/verify", &json!({"token": link})).await.status(), 200);

    let new = token(&api, student, "examhall-demo").await;
    restart(&mut api, &world, &socket, NEW).await;
    let status = async |token: &str| api.client.get(&me).bearer_auth(token).send().await.expect("an answer").status();
    assert_eq!((status(&old).await.as_u16(), status(&new).await.as_u16()), (401, 200), "the old secret is gone");
}
