//! Processes and a database that deadlocks, turns read-only, is migrated by several at once, or is behind a pooler.

use std::time::Duration;

use examhall_testkit::{DatabaseKind, PgBouncer, Process, RedisOptions, World, eventually};
use futures_util::future::join_all;
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::{
    Api, TIMEOUT,
    database::{on_both, sql},
    seed,
};

on_both!(
    migrations_of_four_processes_at_once_all_exit_0,
    a_migration_killed_at_any_moment_is_run_again,
    an_older_program_starts_on_newer_tables_that_only_added,
    migrate_lists_its_steps_and_goes_down,
);

async fn world(kind: DatabaseKind) -> World {
    World::start_with(kind, RedisOptions::default()).await
}

/// Runs `api` with these arguments; returns its exit code and what it wrote.
async fn run(world: &World, args: &[&str]) -> (i32, String) {
    let mut process = Process::spawn_binary("api", args, world.settings());
    let status = process.exit(TIMEOUT).await;
    (status.code().expect("an exit code"), process.output())
}

async fn pending(world: &World) -> usize {
    let (code, output) = run(world, &["migrate", "--status"]).await;
    assert_eq!(code, 0, "{output}");
    output.lines().filter(|line| line.starts_with("pending ")).count()
}

async fn migrations_of_four_processes_at_once_all_exit_0(kind: DatabaseKind) {
    let world = world(kind).await;
    for _ in 0..3 {
        for (code, output) in join_all((0..4).map(|_| run(&world, &["migrate"]))).await {
            assert_eq!(code, 0, "{output}");
        }
        assert_eq!(pending(&world).await, 0);
        let (code, output) = run(&world, &["migrate", "--to", "m0001"]).await;
        assert_eq!(code, 0, "{output}");
    }
}

async fn a_migration_killed_at_any_moment_is_run_again(kind: DatabaseKind) {
    let world = world(kind).await;
    assert_eq!(run(&world, &["migrate"]).await.0, 0);
    for wait in 0..20 {
        assert_eq!(run(&world, &["migrate", "--to", "m0001"]).await.0, 0, "down");
        let mut migrating = Process::spawn_binary("api", &["migrate"], world.settings());
        // A different moment each time, from its start to about its end.
        tokio::time::sleep(Duration::from_millis(10 * wait)).await;
        if migrating.is_running() {
            migrating.kill().await;
        }
        let (code, output) = run(&world, &["migrate"]).await;
        assert_eq!((code, pending(&world).await), (0, 0), "after {wait}: {output}");
    }
}

async fn an_older_program_starts_on_newer_tables_that_only_added(kind: DatabaseKind) {
    let world = world(kind).await;
    assert_eq!(run(&world, &["migrate"]).await.0, 0);
    sql(&world, "INSERT INTO seaql_migrations (version, applied_at) VALUES ('m9001_newer', 1)").await;
    let api = Api::start(&world).await;
    api.sign_up("ada@example.com").await;
    let output = api.process.output();
    assert!(output.contains("m9001_newer") && output.contains("works with it"), "{output}");
    let (code, output) = run(&world, &["check"]).await;
    assert!(code == 0 && output.contains("warning  migrations") && output.contains("m9001_newer"), "{output}");
    assert_eq!(run(&world, &["migrate"]).await.0, 0, "nothing to do");
    let (code, output) = run(&world, &["migrate", "--to", "m0008"]).await;
    assert!(code == 69 && output.contains("m9001_newer"), "it cannot take back what it does not know: {output}");

    sql(&world, "INSERT INTO schema_needs (migration) VALUES ('m9001_newer')").await;
    for args in [&["serve"][..], &["migrate"], &["check"]] {
        let (code, output) = run(&world, args).await;
        assert!(code == 69 && output.contains("m9001_newer"), "{args:?}: {output}");
    }
}

async fn migrate_lists_its_steps_and_goes_down(kind: DatabaseKind) {
    let world = world(kind).await;
    assert!(pending(&world).await > 8, "listing changes nothing");
    assert_eq!(run(&world, &["migrate", "--to", "m0007"]).await.0, 0);
    let (_, plan) = run(&world, &["migrate", "--dry-run"]).await;
    assert!(plan.contains("apply      m0008_outbox_key"), "{plan}");
    let (_, plan) = run(&world, &["migrate", "--dry-run", "--to", "m0006"]).await;
    assert!(plan.contains("take back  m0007_outbox_trace") && !plan.contains("m0008"), "{plan}");
    assert_eq!(run(&world, &["migrate", "--to", "m0006_outbox_open"]).await.0, 0);
    let (_, status) = run(&world, &["migrate", "--status"]).await;
    assert!(
        status.contains("applied  m0006_outbox_open") && status.contains("pending  m0007_outbox_trace"),
        "{status}"
    );
    let (code, output) = run(&world, &["migrate", "--to", "m9999"]).await;
    assert!(code == 64 && output.contains("api migrate --status"), "{output}");
    assert_eq!(run(&world, &["migrate"]).await.0, 0);
    assert_eq!(pending(&world).await, 0);
}

#[tokio::test]
async fn resets_of_one_account_at_once_are_never_answered_500() {
    let world = world(DatabaseKind::Postgres).await;
    let (one, other) = (Api::start(&world).await, Api::start(&world).await);
    one.sign_up("ada@example.com").await;
    let reset = async |api: &Api, token: String| {
        let body = json!({"token": token, "password": "correct horse battery"});
        api.post("/auth/reset", &body).await.status().as_u16()
    };
    for pair in 0..25 {
        let tokens = [format!("token-{pair}-a"), format!("token-{pair}-b")];
        for token in &tokens {
            let insert = format!(
                "INSERT INTO mail_tokens (hash, user_id, purpose, created_at, expires_at) \
                 SELECT sha256('{token}'), id, 'reset', 0, 9000000000000 FROM users"
            );
            sql(&world, &insert).await;
        }
        let [a, b] = tokens;
        let (a, b) = tokio::join!(reset(&one, a), reset(&other, b));
        assert_eq!(a.min(b), 200, "pair {pair}: {a} and {b}");
        assert_eq!(a.max(b), 400, "pair {pair}: {a} and {b}");
    }
}

#[tokio::test]
async fn a_read_only_spell_is_answered_503_and_ends_without_a_restart() {
    let world = world(DatabaseKind::Postgres).await;
    let api = Api::start(&world).await;
    let seeded = seed(&world).await;
    let token = crate::token(&api, seeded["studentEmails"][0].as_str().expect("an address"), "examhall-demo").await;
    let readyz = api.base.replace("/api/v1", "/readyz");
    let ready = async || -> (StatusCode, Value) {
        let answer = api.client.get(&readyz).send().await.expect("an answer");
        (answer.status(), answer.json().await.expect("JSON"))
    };
    let sign_up = async |n: u32| {
        let body = json!({"email": format!("s{n}@example.com"), "name": "Ada", "password": "correct horse"});
        api.post("/auth/signup", &body).await
    };
    sql(&world, "ALTER SYSTEM SET default_transaction_read_only = on").await;
    sql(&world, "SELECT pg_reload_conf()").await;
    sql(&world, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()").await;
    let down = eventually("down", TIMEOUT, async || {
        let (status, body) = ready().await;
        (body["dependencies"]["database"]["reason"] == "the database is read-only").then_some(status)
    });
    assert_eq!(down.await, 200, "it serves what it can read");
    for n in 0..5 {
        let answer = sign_up(n).await;
        assert_eq!((answer.status().as_u16(), answer.headers().contains_key("retry-after")), (503, true));
        let reading = api.client.get(format!("{}/exams", api.base)).bearer_auth(&token).send().await;
        assert_eq!(reading.expect("an answer").status(), 200, "reads go on");
    }
    sql(&world, "ALTER SYSTEM RESET default_transaction_read_only").await;
    sql(&world, "SELECT pg_reload_conf()").await;
    eventually("a write", Duration::from_secs(5), async || (sign_up(9).await.status() == 202).then_some(())).await;
    let up = async || (ready().await.1["dependencies"]["database"]["state"] == "up").then_some(());
    eventually("up", Duration::from_secs(5), up).await;
    let output = api.process.output();
    assert!(!output.contains(r#""level":"ERROR""#), "{output}");
    assert!(output.matches("Database not reached").count() <= 2, "{output}");
}

#[tokio::test]
async fn an_api_has_no_more_connections_than_it_is_told() {
    let mut world = world(DatabaseKind::Postgres).await;
    world.set("DATABASE_CONNECTIONS", "3");
    let api = Api::start(&world).await;
    let requests = join_all((0..60).map(async |n| {
        let body = json!({"email": format!("s{}@example.com", n % 5), "password": "wrong horse"});
        api.post("/auth/login", &body).await.status().as_u16()
    }));
    let watched = async {
        let mut most = 0;
        for _ in 0..20 {
            let count = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' \
                         AND pid <> pg_backend_pid()";
            most = most.max(sql(&world, count).await.parse::<u32>().expect("a number"));
        }
        most
    };
    let (statuses, most) = tokio::join!(requests, watched);
    assert!(statuses.iter().all(|status| [401, 429].contains(status)), "{statuses:?}");
    assert!((2..=4).contains(&most), "3 for requests and one for the readiness, not {most}");
}

#[tokio::test]
async fn the_api_runs_behind_pgbouncer() {
    let mut world = world(DatabaseKind::Postgres).await;
    let pooler = PgBouncer::start(world.database.server(), "extra_float_digits, options").await;
    world.set("DATABASE_URL", &pooler.url());
    let (code, output) = run(&world, &["migrate"]).await;
    assert_eq!(code, 0, "{output}");
    let (code, output) = run(&world, &["check"]).await;
    assert_eq!(code, 0, "{output}");
    let api = Api::start(&world).await;
    let seeded = seed(&world).await;
    let student = seeded["studentEmails"][0].as_str().expect("an address");
    let token = crate::token(&api, student, "examhall-demo").await;
    let exam = seeded["examId"].as_str().expect("an id");
    let sheets = join_all((0..40).map(async |_| {
        let sheet = format!("{}/exams/{exam}", api.base);
        api.client.get(sheet).bearer_auth(&token).send().await.expect("an answer").status().as_u16()
    }));
    let sign_ups = join_all((0..10).map(async |n| api.sign_up(&format!("s{n}@example.com")).await));
    let (sheets, _) = tokio::join!(sheets, sign_ups);
    assert!(sheets.iter().all(|status| *status == 200), "{sheets:?}");
}
