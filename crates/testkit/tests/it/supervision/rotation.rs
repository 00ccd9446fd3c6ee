//! New secrets while the API runs: no session, no mail and no link is lost.

use std::net::TcpListener;

use examhall_testkit::{DatabaseKind, Process, RedisOptions, World, eventually};
use reqwest::Client;
use serde_json::json;
use tokio::process::Command;

use super::activation::Load;
use crate::{Api, TIMEOUT, checks::full_redis::readiness, last_number, seed, token, token_in};

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

#[tokio::test]
async fn a_new_login_at_the_database_needs_no_restart() {
    let world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    let sql = async |statement: &str| {
        let done = Command::new("psql").args([&world.database.url(), "-Atc", statement]).output().await.expect("psql");
        assert!(done.status.success(), "{done:?}");
        String::from_utf8_lossy(&done.stdout).trim().to_owned()
    };
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("database_url");
    let url_of = |role: &str| world.database.url().replace("//examhall@", &format!("//{role}@"));
    sql("CREATE ROLE before LOGIN SUPERUSER; CREATE ROLE after LOGIN SUPERUSER").await;
    std::fs::write(&file, url_of("before")).expect("written");
    let mut settings = world.settings();
    settings.retain(|(name, _)| name != "DATABASE_URL");
    settings.push(("DATABASE_URL_FILE".to_owned(), file.display().to_string()));
    let process = Process::spawn_binary("api", &[], settings);
    let port = last_number(&process.line("Server running on port").await).expect("a port");
    let api = Api { process, client: Client::new(), base: format!("http://127.0.0.1:{port}/api/v1") };
    api.sign_up("ada@example.com").await;

    std::fs::write(&file, url_of("after")).expect("written");
    api.process.line("Database credentials reloaded").await;
    sql("ALTER ROLE before NOLOGIN; SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'before'")
        .await;
    eventually("a sign-up", TIMEOUT, async || {
        let body = json!({"email": "bob@example.com", "name": "Bob", "password": "correct horse"});
        (api.post("/auth/signup", &body).await.status() == 202).then_some(())
    })
    .await;
    assert_ne!(sql("SELECT count(*) FROM pg_stat_activity WHERE usename = 'after'").await, "0");
}

#[tokio::test]
async fn a_new_password_of_redis_needs_no_restart() {
    let world = World::start().await;
    world.redis.cmd::<String>("ACL SETUSER ada on >before ~* &* +@all").await;
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("redis_url");
    let write = |password: &str| {
        let url = format!("redis://ada:{password}@127.0.0.1:{}", world.redis.port());
        std::fs::write(&file, url).expect("written");
    };
    write("before");
    let mut settings = world.settings();
    settings.retain(|(name, _)| name != "REDIS_URL");
    settings.push(("REDIS_URL_FILE".to_owned(), file.display().to_string()));
    let process = Process::spawn_binary("api", &[], settings.clone());
    let port = last_number(&process.line("Server running on port").await).expect("a port");
    let api = Api { process, client: Client::new(), base: format!("http://127.0.0.1:{port}/api/v1") };
    let mailer = Process::spawn_binary("mailer", &[], settings);
    api.sign_up("ada@example.com").await;
    world.smtp.wait_for(1).await;

    world.redis.cmd::<String>("ACL SETUSER ada >after").await;
    write("after");
    for process in [&api.process, &mailer] {
        process.line("Redis credentials reloaded").await;
    }
    world.redis.cmd::<String>("ACL SETUSER ada <before").await;
    world.redis.cmd::<i64>("CLIENT KILL USER ada").await;
    api.sign_up("bob@example.com").await;
    world.smtp.wait_for(2).await;
    for (process, dependency) in [(&api.process, "redis"), (&api.process, "queue"), (&mailer, "redis")] {
        readiness(process, dependency, "up").await;
    }
}
