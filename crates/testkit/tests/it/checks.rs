//! What `check` says of servers that are not as simple as one on this machine, and of those that refuse.

pub(crate) mod full_redis;

use examhall_testkit::{DatabaseKind, Process, RedisCluster, RedisOptions, Sentinel, World, binary};
use tokio::process::Command;

use crate::{TIMEOUT, last_number};

/// What `check` prints, and its exit code.
async fn check(program: &str, world: &World) -> (i32, String) {
    let mut check = Process::spawn_binary(program, &["check"], world.settings());
    let code = check.exit(TIMEOUT).await.code().expect("a code");
    (code, check.output())
}

/// Fails the test where `check` does not end with this code, or says something else of `row`.
async fn says(program: &str, world: &World, code: i32, row: &str, found: &str) {
    let (ended, output) = check(program, world).await;
    let line = output.lines().find(|line| line.contains(row)).expect(&output);
    let squeezed = line.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(squeezed.contains(found), "{squeezed}, and not {found}");
    assert_eq!(ended, code, "{output}");
    assert!(!output.contains("planted"), "a password:\n{output}");
}

async fn sql(world: &World, statement: &str) {
    let done = Command::new("psql").args([&world.database.url(), "-c", statement]).output().await.expect("psql");
    assert!(done.status.success(), "{done:?}");
}

#[tokio::test]
async fn pending_migrations_and_a_newer_database_are_reported() {
    let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    let mut migrating = Process::spawn_binary("api", &["migrate"], world.settings());
    assert!(migrating.exit(TIMEOUT).await.success(), "{}", migrating.output());
    says("api", &world, 0, "migrations", "ok migrations database none is pending").await;

    // A newer version that only added is no obstacle.
    sql(&world, "INSERT INTO seaql_migrations VALUES ('m2999_better_days', 0)").await;
    let newer = "warning migrations database a newer version has applied m2999_better_days";
    says("api", &world, 0, "a newer version has applied", newer).await;
    sql(&world, "DELETE FROM seaql_migrations WHERE version = 'm2999_better_days'").await;

    sql(&world, "DELETE FROM seaql_migrations WHERE version = (SELECT max(version) FROM seaql_migrations)").await;
    says("api", &world, 0, "migrations", "ok migrations database pending; applied at the next start").await;
    world.set("DATABASE_AUTO_MIGRATE", "false");
    says("api", &world, 69, "migrations", "FAILED migrations database pending").await;

    sql(&world, "INSERT INTO seaql_migrations VALUES ('m2999_better_days', 0)").await;
    sql(&world, "INSERT INTO schema_needs VALUES ('m2999_better_days')").await;
    let newer = "the database is newer than this version of the program, which does not know its migration m2999";
    says("api", &world, 69, "migrations", newer).await;
    let mut serving = world.api();
    assert!(!serving.exit(TIMEOUT).await.success());
    assert!(serving.output().contains(newer), "{}", serving.output());
}

#[tokio::test]
async fn a_database_that_lets_nobody_in_is_quoted() {
    let mut world = World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await;
    let url = world.database.url();
    world.set("DATABASE_URL", &url.replace("//examhall@", "//ghost:planted@"));
    says("api", &world, 69, "FAILED", "FAILED database database role \"ghost\" does not exist").await;
    let (server, _) = url.rsplit_once('/').expect("a database's name");
    world.set("DATABASE_URL", &format!("{server}/nothing"));
    says("api", &world, 69, "FAILED", "FAILED database database database \"nothing\" does not exist").await;
}

#[tokio::test]
async fn a_cluster_needs_braces_and_sentinel_does_not() {
    let mut world = World::start().await;
    let cluster = RedisCluster::start(3).await;
    world.set("REDIS_URL", &cluster.url());
    for program in ["api", "mailer"] {
        says(program, &world, 69, "Redis Cluster", "FAILED Redis Cluster Redis the queue's keys would be spread").await;
    }
    world.set("QUEUE_PREFIX", "{bull}");
    for program in ["api", "mailer"] {
        says(program, &world, 0, "Redis Cluster", "ok Redis Cluster Redis the queue lies on one server").await;
    }
    let sentinel = Sentinel::watch(&world.redis).await;
    world.set("REDIS_URL", &sentinel.url());
    for program in ["api", "mailer"] {
        says(program, &world, 0, "Redis login", "ok Redis login Redis let in").await;
    }
}

#[tokio::test]
async fn a_user_who_may_not_ask_info_is_let_in_and_warned_of() {
    let mut world = World::start().await;
    world.redis.cmd::<String>("ACL SETUSER plain on >planted ~* &* +@all -info").await;
    world.set("REDIS_URL", &format!("redis://plain:planted@127.0.0.1:{}", world.redis.port()));
    for program in ["api", "mailer"] {
        says(program, &world, 0, "Redis login", "ok Redis login Redis let in").await;
        says(program, &world, 0, "warning", "warning Redis version Redis unknown: Redis: Unknown Error: NOPERM").await;
    }
}

/// `check --live` of a process whose health is on this port, in a container that listens everywhere: its exit code, and what
/// it prints.
async fn live(program: &str, setting: &str, port: &str) -> (i32, String) {
    // Production without any secret: no other setting is read.
    let settings = [(setting, format!("0.0.0.0:{port}")), ("APP_ENV", "production".to_owned())];
    let mut asking = Process::spawn_binary(program, &["check", "--live"], settings);
    let code = asking.exit(TIMEOUT).await.code().expect("a code");
    (code, asking.output())
}

async fn tells_whether_it_lives(program: &str, setting: &str) {
    let world = World::start().await;
    let mut process = Process::spawn_binary(program, &[], world.settings());
    let port = last_number(&process.line("Health and metrics on port").await).expect("a port").to_string();
    assert_eq!(live(program, setting, &port).await, (0, "ok".to_owned()));
    process.freeze();
    let (code, said) = live(program, setting, &port).await;
    assert_eq!(code, 69, "it is silent: {said}");
    process.kill().await;
    let (code, said) = live(program, setting, &port).await;
    assert_eq!(code, 69, "{said}");
    assert!(said.starts_with(&format!("{program}: 127.0.0.1:{port}, which {setting} names: ")), "{said}");
    for bad in ["0", "many"] {
        let (code, said) = live(program, setting, bad).await;
        assert!(code == 78 && said.contains(setting), "{code}: {said}");
    }
}

#[tokio::test]
async fn check_live_reports_whether_the_api_runs() {
    tells_whether_it_lives("api", "API_OPS_BIND").await;
}

#[tokio::test]
async fn check_live_reports_whether_the_mailer_runs() {
    tells_whether_it_lives("mailer", "MAILER_OPS_BIND").await;
}

#[tokio::test]
async fn check_reports_what_it_looked_at_and_makes_nothing() {
    let world = World::start().await;
    let folder = tempfile::tempdir().expect("a folder");
    let check = |program: &str, settings: &[(&str, String)]| {
        let mut command = Command::new(binary(program));
        command.arg("check").env_clear().envs(settings.iter().cloned()).current_dir(folder.path());
        Process::spawn(program, &mut command)
    };
    let redis = ("REDIS_URL", world.redis.url());
    for (program, said) in [("api", "DATABASE_URL by default"), ("mailer", "SMTP_URL by default")] {
        let mut checking = check(program, std::slice::from_ref(&redis));
        assert_eq!(checking.exit(TIMEOUT).await.code(), Some(0), "{}", checking.output());
        let expected = format!("APP_ENV is development; REDIS_URL from the environment, {said}");
        assert!(checking.output().contains(&expected), "{}", checking.output());
    }
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "check makes no file");

    let production = ("APP_ENV", "production".to_owned());
    let migrates = ("DATABASE_AUTO_MIGRATE", "true".to_owned());
    let mut checking = check("api", &[redis, production, migrates, ("DATABASE_URL", world.database.url())]);
    assert_eq!(checking.exit(TIMEOUT).await.code(), Some(0), "{}", checking.output());
    for missing in ["AUTH_SECRET", "PUBLIC_URL"] {
        let warned = format!("{missing} is not given, which the API needs to start");
        let line = checking.output().lines().find(|line| line.contains(&warned)).expect("a warning").to_owned();
        assert!(line.starts_with("warning"), "{line}");
    }
}
