//! An author publishes the results of ten thousand students.
#![expect(clippy::print_stdout, reason = "how long things took, for those who run the tests")]

use std::{
    collections::HashSet,
    time::{Duration, Instant},
};

use examhall_testkit::{Database, DatabaseKind, Process, World, eventually};
use serde_json::{Value, json};

use crate::{
    Api,
    database::{on_both, sql},
    outbox::{jobs, world},
};

const STUDENTS: usize = 10_000;
/// Results that take a while to publish.
const TIMEOUT: Duration = Duration::from_mins(3);
/// What the process may grow by meanwhile, in KiB. Ten thousand mails are some 60 MiB.
fn most_memory(database: DatabaseKind) -> u64 {
    match database {
        DatabaseKind::Postgres => 16 * 1024,
        DatabaseKind::Sqlite => 32 * 1024, // whose pages are cached in the process: 2 MiB for each connection
    }
}

on_both!(ten_thousand_results_are_published_exported_and_counted_in_little_memory);

/// The API alongside an exam that everybody has sat.
async fn sat(world: &World) -> (Api, String, String) {
    let api = Api::start(world).await;
    let args = ["seed", "--questions", "3", "--students", &STUDENTS.to_string(), "--json"];
    let mut seeding = Process::spawn_binary("api", &args, world.settings());
    assert!(seeding.exit(TIMEOUT).await.success(), "{}", seeding.output());
    let seeded: Value = serde_json::from_str(seeding.output().lines().last().expect("a line")).expect("JSON");
    let id = match &world.database {
        Database::Sqlite(_) => "randomblob(16)",
        Database::Postgres(_) => "gen_random_uuid()",
    };
    let attempts = format!(
        "INSERT INTO attempts (id, exam_id, user_id, number, started_at, deadline, answers, submitted_at) SELECT {id}, \
         exams.id, users.id, 1, 0, 1, '[]', 1 FROM exams, users WHERE role = 'student'"
    );
    let results = format!(
        "INSERT INTO results (id, attempt_id, exam_id, user_id, score, max_score, percent, passed, marks, graded_at) \
         SELECT {id}, id, exam_id, user_id, 2, 4, 50, true, '[]', 1 FROM attempts"
    );
    sql(world, &attempts).await;
    sql(world, &results).await;
    let author = api.log_in(seeded["authorEmail"].as_str().expect("text"), "examhall-demo").await;
    let author: Value = author.json().await.expect("JSON");
    let author = author["accessToken"].as_str().expect("a token").to_owned();
    (api, format!("/exams/{}", seeded["examId"].as_str().expect("an id")), author)
}

/// A line of `/proc/PID/status`, in KiB.
fn memory(api: &Api, name: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", api.process.pid())).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix(name)).expect("a line");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

async fn ten_thousand_results_are_published_exported_and_counted_in_little_memory(database: DatabaseKind) {
    let mut world = world(database).await;
    if let Database::Postgres(server) = &world.database {
        let writes_down = format!("{}?options=-c%20log_statement%3Dall", server.url());
        world.set("DATABASE_URL", &writes_down);
    }
    let (api, exam, author) = sat(&world).await;
    let before = memory(&api, "VmRSS");
    std::fs::write(format!("/proc/{}/clear_refs", api.process.pid()), "5").expect("the peak is counted again");

    let started = Instant::now();
    let publish = api.client.post(format!("{}{exam}/results/publish", api.base)).bearer_auth(&author);
    let answer = publish.send().await.expect("an answer");
    let took = started.elapsed();
    assert_eq!(answer.json::<Value>().await.expect("JSON"), json!({ "queued": STUDENTS }));
    eventually("a mail for each in the queue", TIMEOUT, async || {
        (usize::try_from(jobs(&world).await) == Ok(STUDENTS)).then_some(())
    })
    .await;
    let get = async |path: &str| {
        let request = api.client.get(format!("{}{exam}/{path}", api.base)).bearer_auth(&author);
        request.send().await.expect("an answer").text().await.expect("text")
    };
    let file = get("results.csv").await;
    let students: HashSet<_> = file.lines().skip(1).filter_map(|line| line.split(',').nth(1)).collect();
    assert_eq!((file.lines().count(), students.len()), (STUDENTS + 1, STUDENTS));
    let statistics: Value = serde_json::from_str(&get("statistics").await).expect("JSON");
    assert_eq!((&statistics["count"], &statistics["median"]), (&json!(STUDENTS), &json!(50.0)));

    let grown = memory(&api, "VmHWM").saturating_sub(before);
    println!("{STUDENTS} results published in {took:.2?}, with {grown} KiB at most ({database:?})");
    assert!(grown < most_memory(database), "{grown} KiB");
    if let Database::Postgres(server) = &world.database {
        let log = server.process().output();
        let inserts = log.lines().filter(|line| line.contains("execute") && line.contains("INSERT INTO mail_outbox"));
        assert_eq!(inserts.count(), 1, "one statement, whose rows never leave the database");
    }
}
