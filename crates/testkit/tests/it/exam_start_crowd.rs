//! Exam start by the thousand, with two `api` processes.

use std::time::{Duration, Instant};

use examhall_testkit::eventually;
use futures_util::future::join_all;
use serde_json::json;
use tokio::{io::AsyncWriteExt, net::TcpStream};

use crate::{PATIENCE, exam_start::Fleet, last_number};

const IN_FLIGHT: &str = "http_requests_in_flight ";

/// How many, by default and with `--long`: as many as one client, built for tests, can have connected within the time that
/// the API waits for a request. Ten thousand are measured by `./scripts/bench cache` and `./scripts/load-test`.
fn crowd(short: usize, long: usize) -> usize {
    if std::env::var_os("EXAMHALL_LONG").is_some() { long } else { short }
}

#[tokio::test]
async fn cold_readers_of_two_processes_ask_the_database_once() {
    let mut fleet = Fleet::start().await;
    let answers = fleet.herd(crowd(1_000, 3_000)).await;
    assert!(answers.iter().all(|answer| *answer == (200, json!(1))));
    assert_eq!(fleet.loads(), 1);
}

#[tokio::test]
async fn cold_readers_of_fifty_exams_ask_the_database_once_for_each() {
    let mut fleet = Fleet::start().await;
    let copy = "CREATE TEMP TABLE copy AS SELECT * FROM exams; DO $$ BEGIN FOR n IN 1..49 LOOP UPDATE copy SET id = \
                gen_random_uuid(); INSERT INTO exams SELECT * FROM copy; END LOOP; END $$";
    fleet.sql(copy).await;
    let ids = fleet.sql("SELECT id FROM exams").await;
    let exams: Vec<_> = ids.lines().map(|id| format!("/exams/{id}")).collect();
    assert_eq!(exams.len(), 50);
    let readers = crowd(20, 60);
    fleet.database.hold();
    let shared = &fleet;
    let reading = join_all((0..50 * readers).map(|n| shared.read_sheet(n % 2, &exams[n / 2 % 50])));
    let releasing = async {
        tokio::time::sleep(Duration::from_millis(200)).await; // the load's time
        shared.database.release();
    };
    let (answers, ()) = tokio::join!(reading, releasing);
    assert!(answers.iter().all(|answer| *answer == (200, json!(1))));
    assert_eq!(fleet.loads(), 50);
}

#[tokio::test]
async fn of_an_exam_that_does_not_exist_the_database_is_asked_once() {
    let mut fleet = Fleet::start().await;
    let nowhere = "/exams/0192f0c1-0000-7000-8000-000000000000";
    let (shared, began) = (&fleet, Instant::now());
    for _ in 0..crowd(1, 10) {
        let answers = join_all((0..1_000).map(|n| shared.read_sheet(n % 2, nowhere))).await;
        assert!(answers.iter().all(|(status, _)| *status == 404));
    }
    // That there is nothing is known for 4 to 5 s.
    let most = 1 + began.elapsed().as_secs() / 4;
    let loads = fleet.loads();
    assert!(loads >= 1 && loads as u64 <= most, "{loads} loads, and {most} at most");
}

/// A gauge of the operators' port.
async fn gauge(fleet: &Fleet, api: usize, name: &str) -> Option<usize> {
    let api = &fleet.apis[api];
    let port: u16 = last_number(&api.process.line("Health and metrics on port").await)?;
    let text = api.client.get(format!("http://127.0.0.1:{port}/metrics")).send().await.ok()?.text().await.ok()?;
    text.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
}

#[tokio::test]
async fn a_load_goes_on_though_all_readers_but_one_hang_up() {
    let mut fleet = Fleet::start().await;
    let address = fleet.apis[0].base.trim_start_matches("http://").trim_end_matches("/api/v1").to_owned();
    let connecting = join_all((0..crowd(999, 9_999)).map(|_| TcpStream::connect(&address))).await;
    let mut readers: Vec<_> = connecting.into_iter().map(|stream| stream.expect("connected")).collect();
    let request = format!(
        "GET /api/v1{}/questions HTTP/1.1\r\nHost: exams\r\nAuthorization: Bearer {}\r\n\r\n",
        fleet.exam, fleet.student
    );
    fleet.database.hold();
    for reader in &mut readers {
        reader.write_all(request.as_bytes()).await.expect("sent");
    }
    let last = fleet.apis[0].client.get(format!("{}{}/questions", fleet.apis[0].base, fleet.exam));
    let last = tokio::spawn(last.bearer_auth(&fleet.student).send());
    eventually("some to wait", PATIENCE, async || (gauge(&fleet, 0, IN_FLIGHT).await? > 100).then_some(())).await;
    drop(readers);
    fleet.database.release();
    let answer = last.await.expect("no panic").expect("an answer");
    assert_eq!((answer.status().as_u16(), fleet.loads()), (200, 1));
    assert_eq!(fleet.read(1).await, (200, json!(1)));
    assert_eq!(fleet.loads(), 1, "its value was stored");
}

#[tokio::test]
async fn a_database_that_fails_is_asked_once_and_all_who_wait_are_told_when_to_come_back() {
    const READERS: usize = 1_000;
    let fleet = Fleet::start().await;
    fleet.database.hold();
    let shared = &fleet;
    let ask = async |n: usize| {
        let api = &shared.apis[n % 2];
        let request = api.client.get(format!("{}{}/questions", api.base, shared.exam)).bearer_auth(&shared.student);
        let answer = request.send().await.expect("an answer");
        let says_when = answer.headers().get("retry-after").is_some_and(|value| !value.is_empty());
        (answer.status().as_u16(), says_when, answer.headers()["content-type"] == "application/problem+json")
    };
    let asking = join_all((0..READERS).map(ask));
    let failing = async {
        eventually("all to wait", PATIENCE, async || {
            let waiting = [gauge(shared, 0, IN_FLIGHT).await?, gauge(shared, 1, IN_FLIGHT).await?];
            (waiting.iter().sum::<usize>() == READERS).then_some(())
        })
        .await;
        shared.database.cut();
    };
    let (answers, ()) = tokio::join!(asking, failing);
    assert!(answers.iter().all(|answer| *answer == (503, true, true)), "{:?}", answers.iter().max());
    let mut loads = Vec::new();
    for api in [0, 1] {
        loads.push(gauge(shared, api, "store_loads_total{what=\"sheet\"} ").await.unwrap_or(0));
    }
    assert!(loads.iter().all(|loads| *loads <= 1), "{loads:?}: each process may try once");
    assert!(loads.contains(&1), "{loads:?}: who has not loaded shows no counter, and somebody has");
    fleet.database.release();
    let serves = async || (fleet.read(0).await == (200, json!(1))).then_some(());
    eventually("the sheet once the database is back", PATIENCE, serves).await;
}
