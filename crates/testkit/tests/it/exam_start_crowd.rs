//! Exam start by the thousand, with two `api` processes.

use std::time::{Duration, Instant};

use examhall_testkit::eventually;
use futures_util::future::{join_all, try_join_all};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{TIMEOUT, exam_start::Fleet};

/// How many readers, by default and with `--long`.
fn readers() -> usize {
    if std::env::var_os("EXAMHALL_LONG").is_some() { 10_000 } else { 1_000 }
}

/// How many wait for a load that is held: all have to come within the 3 s that it may take.
fn waiters() -> usize {
    if std::env::var_os("EXAMHALL_LONG").is_some() { 1_000 } else { 200 }
}

const SHEET_LOADS: &str = "store_loads_total{what=\"sheet\"} ";

/// Readers with a connection each, who ask once.
struct Crowd(Vec<TcpStream>);

impl Crowd {
    /// Has a crowd ask at once, the nth of it for what `asks` returns: which process, and for the sheet of which exam.
    async fn ask<'a>(fleet: &Fleet, readers: usize, asks: impl Fn(usize) -> (usize, &'a str)) -> Self {
        let connecting = try_join_all((0..readers).map(|n| TcpStream::connect(fleet.address(asks(n).0))));
        let mut streams = connecting.await.expect("connected");
        for (n, stream) in streams.iter_mut().enumerate() {
            let request = format!(
                "GET /api/v1{}/questions HTTP/1.1\r\nHost: exams\r\nAuthorization: Bearer {}\r\nConnection: close\r\n\r\n",
                asks(n).1,
                fleet.student
            );
            stream.write_all(request.as_bytes()).await.expect("sent");
        }
        Self(streams)
    }

    /// Their answers: status, and version where there is one.
    async fn answers(self) -> Vec<(u16, Option<u64>)> {
        join_all(self.0.into_iter().map(|mut stream| async move {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.expect("an answer");
            let number = |after| {
                let digits = answer.split(after).nth(1)?;
                digits.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
            };
            let status = number("HTTP/1.1 ").and_then(|status: u64| status.try_into().ok());
            (status.unwrap_or(0), number("\"version\":"))
        }))
        .await
    }

    /// Answers to a crowd whose load takes 200 ms.
    async fn of_a_slow_load<'a>(fleet: &Fleet, asks: impl Fn(usize) -> (usize, &'a str)) -> Vec<(u16, Option<u64>)> {
        fleet.database.hold();
        let answers = async { Self::ask(fleet, readers(), asks).await.answers().await };
        let releasing = async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            fleet.database.release();
        };
        tokio::join!(answers, releasing).0
    }
}

#[tokio::test]
async fn cold_readers_of_two_processes_ask_the_database_once() {
    let mut fleet = Fleet::start().await;
    let answers = Crowd::of_a_slow_load(&fleet, |n| (n % 2, &fleet.exam)).await;
    assert!(answers.len() == readers() && answers.iter().all(|answer| *answer == (200, Some(1))));
    assert_eq!(fleet.loads().await, 1);
}

#[tokio::test]
async fn cold_readers_of_fifty_exams_ask_the_database_once_for_each() {
    let mut fleet = Fleet::start().await;
    let exams = fleet.copies(49).await;
    assert_eq!(exams.len(), 50);
    let answers = Crowd::of_a_slow_load(&fleet, |n| (n % 2, &exams[n / 2 % 50])).await;
    assert!(answers.len() == readers() && answers.iter().all(|answer| *answer == (200, Some(1))));
    assert_eq!(fleet.loads().await, 50);
}

#[tokio::test]
async fn of_an_exam_that_does_not_exist_the_database_is_asked_once() {
    let mut fleet = Fleet::start().await;
    let unknown = "/exams/0192f0c1-0000-7000-8000-000000000000";
    let began = Instant::now();
    let crowd = Crowd::ask(&fleet, readers(), |n| (n % 2, unknown)).await;
    assert!(crowd.answers().await.iter().all(|answer| *answer == (404, None)));
    // That there is nothing is known for 4 to 5 s.
    let most = 1 + began.elapsed().as_secs() / 4;
    let loads = fleet.loads().await;
    assert!(loads >= 1 && loads as u64 <= most, "{loads} loads, and {most} at most");
}

#[tokio::test]
async fn a_load_goes_on_though_all_readers_but_one_hang_up() {
    let mut fleet = Fleet::start().await;
    fleet.database.hold();
    let crowd = Crowd::ask(&fleet, waiters() - 1, |_| (0, &fleet.exam)).await;
    let last = Crowd::ask(&fleet, 1, |_| (0, &fleet.exam)).await;
    fleet.wait_for_waiters(&[0], waiters()).await;
    drop(crowd);
    fleet.database.release();
    assert_eq!(last.answers().await, [(200, Some(1))]);
    assert_eq!(fleet.read(1).await, (200, json!(1)));
    assert_eq!(fleet.loads().await, 1, "its value was stored");
}

#[tokio::test]
async fn a_failing_database_is_asked_once_and_retry_after_is_sent() {
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
    let asking = join_all((0..waiters()).map(ask));
    let failing = async {
        fleet.wait_for_waiters(&[0, 1], waiters()).await;
        shared.database.cut();
    };
    let (answers, ()) = tokio::join!(asking, failing);
    assert!(answers.iter().all(|answer| *answer == (503, true, true)), "{:?}", answers.iter().max());
    let loads = [fleet.metric(0, SHEET_LOADS).await, fleet.metric(1, SHEET_LOADS).await];
    assert!(loads.iter().all(|loads| *loads <= 1), "{loads:?}: each process may try once");
    assert!(loads.contains(&1), "{loads:?}: somebody has");
    fleet.database.release();
    let serves = async || (fleet.read(0).await == (200, json!(1))).then_some(());
    eventually("the sheet once the database is back", TIMEOUT, serves).await;
}
