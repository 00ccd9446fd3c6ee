//! The binaries as an operator meets them: start, bad settings, logs.

use examhall_testkit::{DatabaseKind, Process, Proxy, RedisOptions, World, eventually};

use crate::{Api, TIMEOUT, last_number};

#[tokio::test]
async fn the_start_says_what_is_there_in_this_order() {
    let world = World::start().await;
    let api = Api::start(&world).await;
    let output = api.process.output();
    let lines =
        ["Redis initialized", "Email queue initialized", "Database connected & synced", "Server running on port"];
    let places: Vec<_> =
        lines.iter().map(|line| output.find(line).unwrap_or_else(|| panic!("{line}: {output}"))).collect();
    assert!(places.is_sorted(), "{output}");
}

#[tokio::test]
async fn the_api_starts_without_redis_and_uses_it_later() {
    let mut world = World::start().await;
    world.redis.kill().await;
    let api = Api::start(&world).await;
    let output = api.process.output();
    assert!(output.contains("Redis unavailable, retrying") && !output.contains("Redis initialized"), "{output}");
    world.redis.restart().await;
    api.process.line("Redis initialized").await;
    api.process.line("Email queue initialized").await;
}

#[tokio::test]
async fn the_api_waits_for_a_database_that_is_away() {
    let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    let (direct, port) = (world.database.url(), world.database.server().port());
    let link = Proxy::start(port).await;
    link.sever();
    world.set("DATABASE_URL", &direct.replace(&format!(":{port}"), &format!(":{}", link.port())));

    let (mut api, mut stopped) = (world.api(), world.api());
    let listens = last_number(&api.line("Server running on port").await).expect("a port");
    let base = format!("http://127.0.0.1:{listens}");
    api.line("Database unavailable, retrying").await;
    let get = async |path: &str| reqwest::get(format!("{base}{path}")).await.expect("an answer");
    assert_eq!(get("/healthz").await.status(), 200, "restarting it would not help");
    let ready = get("/readyz").await;
    assert_eq!(ready.status(), 503);
    let down = async || {
        let body: serde_json::Value = get("/readyz").await.json().await.expect("JSON");
        (body["dependencies"]["database"]["state"] == "down").then_some(())
    };
    eventually("the database is reported", TIMEOUT, down).await;
    let exams = get("/api/v1/exams").await;
    assert_eq!((exams.status().as_u16(), exams.headers().contains_key("retry-after")), (503, true));

    stopped.line("Database unavailable, retrying").await;
    stopped.terminate();
    assert_eq!(stopped.exit(TIMEOUT).await.code(), Some(0), "{}", stopped.output());

    link.accept();
    // What waits with the old server when the new one takes over is hung up on.
    let ready = async || (reqwest::get(format!("{base}/readyz")).await.ok()?.status() == 200).then_some(());
    eventually("ready", TIMEOUT, ready).await;
    assert_eq!(get("/api/v1/exams").await.status(), 401, "it serves");
    let output = api.output();
    assert!(output.contains("Database connected & synced") && api.is_running(), "{output}");
    assert_eq!(output.matches("Database unavailable").count(), 1, "{output}");
}

#[tokio::test]
async fn a_database_that_refuses_ends_the_start() {
    let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    world.set("DATABASE_URL", &format!("{}_of_nobody", world.database.url()));
    let mut api = world.api();
    assert_eq!(api.exit(TIMEOUT).await.code(), Some(69), "{}", api.output());
    assert!(api.output().contains("_of_nobody\" does not exist"), "{}", api.output());
}

#[tokio::test]
async fn a_redis_that_may_throw_jobs_away_is_warned_of_by_both() {
    let world = World::start().await;
    world.redis.cmd::<String>("CONFIG SET maxmemory-policy allkeys-lru").await;
    for process in [world.api(), world.mailer(&[])] {
        process.line("set maxmemory-policy to noeviction (it is allkeys-lru)").await;
        process.line("Email queue initialized").await;
    }
}

#[tokio::test]
async fn a_cluster_takes_a_prefix_in_braces_only() {
    let redis = RedisOptions::cluster_node();
    let mut world = World::start_with(DatabaseKind::Sqlite, redis).await;
    world.redis.cmd::<String>("CLUSTER ADDSLOTSRANGE 0 16383").await;
    world.set("REDIS_URL", &format!("redis-cluster://127.0.0.1:{}", world.redis.port()));
    for mut process in [world.api(), world.mailer(&[])] {
        process.line("such as the prefix {bull} instead of bull").await;
        // On a machine with much else to do it may have gone on without Redis before it came to know.
        if !process.output().contains("Redis unavailable") {
            assert_eq!(process.exit(TIMEOUT).await.code(), Some(78), "{}", process.output());
        }
    }
    world.set("QUEUE_PREFIX", "{bull}");
    let (api, mailer) = (Api::start(&world).await, world.mailer(&[]));
    for line in ["Redis initialized", "Email queue initialized"] {
        api.process.line(line).await;
    }
    mailer.line("Email queue initialized").await;
    let seeded = crate::seed(&world).await;
    let email = seeded["studentEmails"][0].as_str().expect("text");
    let tokens: serde_json::Value = api.log_in(email, "examhall-demo").await.json().await.expect("JSON");
    let sheet = format!("{}/exams/{}/questions", api.base, seeded["examId"].as_str().expect("an id"));
    let source = async || {
        let request = api.client.get(&sheet).bearer_auth(tokens["accessToken"].as_str().expect("a token"));
        let answer = request.send().await.expect("an answer");
        assert_eq!(answer.status(), 200);
        answer.headers()["cache-status"].to_str().expect("text").to_owned()
    };
    assert_eq!(source().await, "examhall; fwd=miss");
    eventually("a hit", TIMEOUT, async || (source().await == "examhall; hit").then_some(())).await;
    api.sign_up("ada@example.com").await;
    world.smtp.wait_for(1).await;
    mailer.line("Mail accepted").await;
    let mut asked = world.mailer(&["queue", "status", "--json"]);
    assert!(asked.exit(TIMEOUT).await.success(), "{}", asked.output());
    let status: serde_json::Value = serde_json::from_str(asked.output().lines().last().expect("a line")).expect("JSON");
    assert_eq!(status["completed"], 1, "{status}");
}

#[tokio::test]
async fn bad_settings_and_bad_usage_have_their_exit_codes() {
    let world = World::start().await;
    for (program, args, setting, code, sentence) in [
        ("api", vec![], ("API_BIND", "here"), 78, "API_BIND must be an address and port like 127.0.0.1:8000"),
        ("api", vec![], ("REDIS_URL", "http://x"), 78, "REDIS_URL: not a Redis URL"),
        ("api", vec![], ("DATABASE_URL", "mysql://x"), 78, "DATABASE_URL must begin with sqlite:// or postgres://"),
        ("api", vec!["fly"], ("APP_ENV", ""), 64, "unrecognized subcommand 'fly'"),
        ("api", vec![], ("QUEUE_NAME", "a:b"), 78, "\"a:b\" cannot name a queue"),
        ("api", vec![], ("API_BIND", "192.0.2.1:80"), 69, "API_BIND: cannot listen on 192.0.2.1:80"),
        ("api", vec!["migrate"], ("DATABASE_URL", "postgres://127.0.0.1:1/x"), 69, "the database does not answer"),
        ("mailer", vec![], ("REDIS_URL", "http://x"), 78, "REDIS_URL: not a Redis URL"),
        ("mailer", vec!["--once"], ("REDIS_URL", "redis://127.0.0.1:1"), 69, "Redis does not answer: check REDIS_URL"),
        ("mailer", vec![], ("SMTP_URL", "smtp://u:hunter2@h?tls=none"), 78, "SMTP_URL: a login needs TLS"),
        ("mailer", vec![], ("MAIL_FROM", "nobody"), 78, "MAIL_FROM must be like"),
        ("mailer", vec!["--once", "run"], ("APP_ENV", ""), 64, "--once stands alone"),
    ] {
        let settings = world.settings().into_iter().chain([(setting.0.to_owned(), setting.1.to_owned())]);
        let mut process = Process::spawn_binary(program, &args, settings);
        let status = process.exit(TIMEOUT).await;
        let output = process.output();
        assert_eq!(status.code(), Some(code), "{program} {args:?} {setting:?}: {output}");
        assert!(output.contains(sentence) && !output.contains("hunter2"), "{output}");
    }
}

#[tokio::test]
async fn help_and_version_are_no_mistakes() {
    let world = World::start().await;
    for program in ["api", "mailer"] {
        let mut help = Process::spawn_binary(program, &["--help"], world.settings());
        assert_eq!(help.exit(TIMEOUT).await.code(), Some(0));
        assert!(help.output().contains("Examples:"), "{}", help.output());
        let mut version = Process::spawn_binary(program, &["--version"], world.settings());
        assert_eq!(version.exit(TIMEOUT).await.code(), Some(0));
    }
}

#[tokio::test]
async fn the_most_talkative_log_holds_no_secret_and_no_address() {
    let mut world = World::start().await;
    world.set("RUST_LOG", "trace");
    let (api, mailer) = (Api::start(&world).await, world.mailer(&[]));
    api.sign_up("ada@example.com").await;
    let mail = world.smtp.wait_for(1).await.remove(0);
    mailer.line("Mail accepted").await;
    let token = crate::token_in(&mail);
    api.post("/auth/verify", &serde_json::json!({ "token": token })).await;
    let tokens: serde_json::Value = api.log_in("ada@example.com", "correct horse").await.json().await.expect("JSON");
    let text = |name: &str| tokens[name].as_str().expect("a token").to_owned();
    let logs = format!("{}\n{}", api.process.output(), mailer.output());
    for secret in [
        "correct horse",
        "a-secret-of-this-test-and-no-other",
        "ada@example.com",
        "Confirm my address",
        &token,
        &text("accessToken"),
        &text("refreshToken"),
    ] {
        let found = logs.lines().find(|line| line.contains(secret));
        assert!(found.is_none(), "{secret} is in {found:?}");
    }
}
