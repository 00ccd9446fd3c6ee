//! Exam start, with two `api` processes: how often the database is asked, whatever dies meanwhile.

use std::time::{Duration, Instant};

use examhall_testkit::{DatabaseKind, Proxy, RedisOptions, World, eventually};
use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::{Api, TIMEOUT, last_number, seed};

/// How late another process may show a change. Two seconds are promised, where the machine has time; a memory that was
/// not notified of it would show the old value for most of a minute.
pub(crate) const LATE: Duration = Duration::from_secs(15);

/// Two processes on a database that writes down every statement, each behind a proxy of its own.
pub(crate) struct Fleet {
    pub(crate) world: World,
    pub(crate) database: Links,
    pub(crate) apis: [Api; 2],
    pub(crate) exam: String,
    author: String,
    pub(crate) student: String,
}

/// What the database's answer holds in which a sheet is.
pub(crate) const A_SHEET: &[&str] = &["How much is 1 + 1?"];

/// The proxy between the processes and their database.
pub(crate) struct Links([Proxy; 2]);

impl Links {
    pub(crate) fn of(&self, api: usize) -> &Proxy {
        &self.0[api]
    }

    pub(crate) fn hold(&self) {
        self.0.iter().for_each(Proxy::hold);
    }

    pub(crate) fn release(&self) {
        self.0.iter().for_each(Proxy::release);
    }

    /// Waits until a process is not given what the database answers.
    pub(crate) async fn wait_until_held(&self, api: usize) {
        eventually("an answer that is held back", TIMEOUT, async || self.of(api).holds().then_some(())).await;
    }

    pub(crate) fn delay(&self, delay: Duration) {
        self.0.iter().for_each(|link| link.delay(delay));
    }

    pub(crate) fn cut(&self) {
        self.0.iter().for_each(Proxy::cut);
    }

    pub(crate) fn sever(&self) {
        self.0.iter().for_each(Proxy::sever);
    }

    pub(crate) fn accept(&self) {
        self.0.iter().for_each(Proxy::accept);
    }
}

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::start_in(World::start_with(DatabaseKind::Postgres, RedisOptions::default()).await).await
    }

    /// In a world on PostgreSQL, whose Redis may be behind something.
    pub(crate) async fn start_in(world: World) -> Self {
        Self::start_behind(world, [None, None]).await
    }

    /// In a world on PostgreSQL, each process with a Redis URL of its own.
    pub(crate) async fn start_behind(mut world: World, redis: [Option<String>; 2]) -> Self {
        let (direct, port) = (world.database.url(), world.database.server().port());
        let database = Links([Proxy::start(port).await, Proxy::start(port).await]);
        let mut apis = Vec::with_capacity(2);
        for (link, redis) in database.0.iter().zip(redis) {
            if let Some(url) = redis {
                world.set("REDIS_URL", &url);
            }
            let behind = direct.replace(&format!(":{port}"), &format!(":{}", link.port()));
            world.set("DATABASE_URL", &format!("{behind}?options=-c%20log_statement%3Dall"));
            apis.push(Api::start(&world).await);
        }
        let apis: [Api; 2] = apis.try_into().unwrap_or_else(|_| unreachable!("as many as there are links"));
        let seeded = seed(&world).await;
        let mut tokens = Vec::new();
        for email in [&seeded["authorEmail"], &seeded["studentEmails"][0]] {
            let answer = apis[0].log_in(email.as_str().expect("text"), "examhall-demo").await;
            let tokens_of: Value = answer.json().await.expect("JSON");
            tokens.push(tokens_of["accessToken"].as_str().expect("a token").to_owned());
        }
        let exam = format!("/exams/{}", seeded["examId"].as_str().expect("an id"));
        Self { world, database, apis, exam, author: tokens.remove(0), student: tokens.remove(0) }
    }

    /// Reads the sheet; status, and version where there is one.
    pub(crate) async fn read(&self, api: usize) -> (u16, Value) {
        self.read_sheet(api, &self.exam).await
    }

    /// Where a process listens.
    pub(crate) fn address(&self, api: usize) -> &str {
        self.apis[api].base.trim_start_matches("http://").trim_end_matches("/api/v1")
    }

    /// Reads the sheet of any exam.
    pub(crate) async fn read_sheet(&self, api: usize, exam: &str) -> (u16, Value) {
        let api = &self.apis[api];
        let request = api.client.get(format!("{}{exam}/questions", api.base)).bearer_auth(&self.student);
        let answer = request.send().await.expect("an answer");
        let status = answer.status().as_u16();
        (status, answer.json::<Value>().await.map(|body| body["version"].clone()).unwrap_or_default())
    }

    pub(crate) async fn change(&self, api: usize, title: &str) -> u16 {
        self.change_exam(api, &self.exam, title).await.0
    }

    /// Closes the exam; status.
    pub(crate) async fn close(&self, api: usize) -> u16 {
        let api = &self.apis[api];
        let request = api.client.post(format!("{}{}/close", api.base, self.exam)).bearer_auth(&self.author);
        request.send().await.expect("an answer").status().as_u16()
    }

    /// Changes any exam; status, and the new version where it was changed.
    pub(crate) async fn change_exam(&self, api: usize, exam: &str, title: &str) -> (u16, Option<i64>) {
        let api = &self.apis[api];
        let request = api.client.patch(format!("{}{exam}", api.base)).bearer_auth(&self.author);
        let answer = request.json(&json!({"title": title})).send().await.expect("an answer");
        let tag = answer.headers().get("etag").and_then(|tag| tag.to_str().ok());
        (answer.status().as_u16(), tag.and_then(version_of_tag))
    }

    /// Copies the exam so often; returns the paths of all exams.
    pub(crate) async fn copies(&self, count: usize) -> Vec<String> {
        let copy = format!(
            "CREATE TEMP TABLE copy AS SELECT * FROM exams; DO $$ BEGIN FOR n IN 1..{count} LOOP UPDATE copy SET id = \
             gen_random_uuid(); INSERT INTO exams SELECT * FROM copy; END LOOP; END $$"
        );
        self.sql(&copy).await;
        self.sql("SELECT id FROM exams").await.lines().map(|id| format!("/exams/{id}")).collect()
    }

    /// How often the database was asked for a sheet, as the database itself says.
    pub(crate) async fn loads(&mut self) -> usize {
        // Once this is written down, all that was asked before is.
        let mark = fastrand::u64(..).to_string();
        self.sql(&format!("SELECT '{mark}'")).await;
        let postgres = self.world.database.server().process();
        postgres.line(&mark).await;
        let log = postgres.output();
        log.lines().filter(|line| line.contains("execute") && line.contains("LEFT JOIN questions")).count()
    }

    /// What a process reports of itself: the sum of all series that begin so.
    pub(crate) async fn metric(&self, api: usize, series: &str) -> u64 {
        let api = &self.apis[api];
        let line = api.process.line("Health and metrics on port").await;
        let port: u16 = last_number(&line).expect("a port");
        let answer = api.client.get(format!("http://127.0.0.1:{port}/metrics")).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        let values = text.lines().filter(|line| line.starts_with(series)).filter_map(|line| line.rsplit(' ').next());
        values.map(|value| value.parse::<u64>().expect("a count")).sum()
    }

    /// Waits until this many readers wait in these processes.
    pub(crate) async fn wait_for_waiters(&self, apis: &[usize], readers: usize) {
        eventually(&format!("{readers} to wait"), TIMEOUT, async || {
            let mut waiting = 0;
            for api in apis {
                waiting += self.metric(*api, "cache_waiters ").await;
            }
            (waiting == readers as u64).then_some(())
        })
        .await;
    }

    /// Asks the database itself.
    pub(crate) async fn sql(&self, query: &str) -> String {
        let url = match &self.world.database {
            examhall_testkit::Database::Postgres(server) => server.url(),
            examhall_testkit::Database::Sqlite(_) => unreachable!("it was started on PostgreSQL"),
        };
        let mut psql = tokio::process::Command::new("psql");
        let answer = psql.args([&url, "-At", "-c", query]).env("PGOPTIONS", "-c log_statement=all").output().await;
        String::from_utf8(answer.expect("psql comes with PostgreSQL").stdout).expect("text").trim().to_owned()
    }

    async fn stored_version(&self) -> i64 {
        self.sql("SELECT version FROM exams").await.parse().expect("one exam")
    }

    pub(crate) async fn uncleared(&self) -> String {
        self.sql("SELECT count(*) FROM cache_outbox WHERE cleared_at IS NULL").await
    }
}

/// Version that an `ETag` names.
pub(crate) fn version_of_tag(tag: &str) -> Option<i64> {
    tag.trim_matches('"').split(['-', '.']).next()?.parse().ok()
}

#[tokio::test]
async fn a_change_is_seen_by_every_process_at_once() {
    let mut fleet = Fleet::start().await;
    let mut lags = Vec::new();
    for version in 2..10 {
        fleet.read(0).await;
        fleet.read(1).await;
        assert_eq!(fleet.change(version % 2, "Logic").await, 200);
        let changed = Instant::now();
        assert_eq!(fleet.read(version % 2).await, (200, json!(version)), "who changed it");
        let seen = async || (fleet.read(1 - version % 2).await.1 == json!(version)).then_some(());
        eventually("the other process to show it", LATE, seen).await;
        lags.push(changed.elapsed());
    }
    lags.sort();
    assert!(lags[lags.len() / 2] < Duration::from_millis(500), "mostly at once: {lags:?}");
    let loads = fleet.loads().await;
    assert!(loads <= 18, "{loads} loads for nine versions");
}

#[tokio::test]
async fn while_the_one_that_loads_is_killed_the_other_takes_over() {
    let mut fleet = Fleet::start().await;
    fleet.database.of(0).hold_from(A_SHEET);
    let (client, url) = (fleet.apis[0].client.clone(), format!("{}{}/questions", fleet.apis[0].base, fleet.exam));
    let first = tokio::spawn(client.get(url).bearer_auth(&fleet.student).send());
    fleet.database.wait_until_held(0).await;
    fleet.apis[0].process.kill().await;
    assert!(first.await.expect("no panic").is_err());
    let served = join_all((0..100).map(|_| fleet.read(1))).await;
    assert!(served.iter().all(|answer| *answer == (200, json!(1))), "{served:?}");
    assert_eq!(fleet.loads().await, 2);
}

#[tokio::test]
async fn a_writer_killed_after_its_commit_leaves_no_stale_value() {
    let mut fleet = Fleet::start().await;
    fleet.read(0).await;
    fleet.read(1).await;
    let (client, url) = (fleet.apis[0].client.clone(), format!("{}{}", fleet.apis[0].base, fleet.exam));
    let request = client.patch(url).bearer_auth(&fleet.author).json(&json!({"title": "Logic"}));
    let mark_stands =
        format!("ZCOUNT cm:{{{}}} 0 +inf", fleet.exam.trim_start_matches('/').replacen("exams/", "exam:", 1));
    fleet.database.of(0).hold_from(&["Logic", "COMMIT"]);
    let writing = tokio::spawn(request.send());
    fleet.database.wait_until_held(0).await;
    assert_eq!(fleet.stored_version().await, 2, "it is committed, and the writer does not know");
    fleet.apis[0].process.kill().await;
    assert!(writing.await.expect("no panic").is_err(), "it was not answered");
    assert_eq!(fleet.read(1).await, (200, json!(2)), "at once, since the mark came before the commit");
    eventually("the mark to end", TIMEOUT, async || {
        (fleet.world.redis.cmd::<i64>(&mark_stands).await == 0).then_some(())
    })
    .await;
    assert_eq!(fleet.read(1).await, (200, json!(2)));
}

#[tokio::test]
async fn while_redis_is_killed_under_load_no_read_fails() {
    let mut fleet = Fleet::start().await;
    fleet.read(0).await;
    for round in 0..10 {
        if round == 3 {
            fleet.world.redis.kill().await;
        }
        let answers = join_all((0..100).map(|n| fleet.read(n % 2))).await;
        assert!(answers.iter().all(|answer| *answer == (200, json!(1))), "{answers:?}");
    }
    assert_eq!(fleet.change(0, "Logic").await, 200);
    assert_eq!(fleet.read(0).await, (200, json!(2)));
    let seen = async || (fleet.read(1).await.1 == json!(2)).then_some(());
    eventually("the other process to show it", LATE, seen).await;
    fleet.world.redis.restart().await;
    let deleted = async || (fleet.world.redis.cmd::<i64>("EXISTS nothing").await == 0).then_some(());
    eventually("Redis", TIMEOUT, deleted).await;
    assert_eq!((fleet.read(0).await, fleet.read(1).await), ((200, json!(2)), (200, json!(2))));
}

#[tokio::test]
async fn an_edit_while_redis_refuses_writes_is_seen() {
    let fleet = Fleet::start().await;
    fleet.read(0).await;
    fleet.read(1).await;
    fleet.world.redis.cmd::<String>("REPLICAOF 127.0.0.1 1").await;
    assert_eq!(fleet.change(0, "Logic").await, 200);
    assert_eq!(fleet.read(0).await, (200, json!(2)));
    let seen = async || (fleet.read(1).await.1 == json!(2)).then_some(());
    eventually("the other process to show it", LATE, seen).await;
    fleet.world.redis.cmd::<String>("REPLICAOF NO ONE").await;
    eventually("the outbox to be drained", TIMEOUT, async || (fleet.uncleared().await == "0").then_some(())).await;
    assert_eq!((fleet.read(0).await, fleet.read(1).await), ((200, json!(2)), (200, json!(2))));
}
