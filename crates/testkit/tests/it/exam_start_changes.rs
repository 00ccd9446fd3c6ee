//! Changes that meet readers, with two `api` processes: nobody is shown what was read before a change after it.
#![expect(clippy::print_stdout, reason = "how much was raced, for those who run the tests")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

use examhall_testkit::eventually;
use futures_util::future::join_all;
use reqwest::Response;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{
    TIMEOUT,
    exam_start::{A_SHEET, Fleet, LATE},
};

const LEASES: &str = "cache_lease_total{";

/// Has a process asked for the sheet; its answer is waited for later.
fn ask(fleet: &Fleet, api: usize) -> JoinHandle<reqwest::Result<Response>> {
    let api = &fleet.apis[api];
    let url = format!("{}{}/questions", api.base, fleet.exam);
    tokio::spawn(api.client.get(url).bearer_auth(&fleet.student).send())
}

async fn answer(asked: JoinHandle<reqwest::Result<Response>>) -> (u16, Value) {
    let answer = asked.await.expect("no panic").expect("an answer");
    (answer.status().as_u16(), answer.json::<Value>().await.expect("a sheet")["version"].clone())
}

/// Has a process load the sheet, and keeps from it what it has read.
async fn read_without_end(fleet: &Fleet, api: usize) -> JoinHandle<reqwest::Result<Response>> {
    fleet.database.of(api).hold_from(A_SHEET);
    let reading = ask(fleet, api);
    fleet.database.wait_until_held(api).await;
    reading
}

#[tokio::test]
async fn a_fill_from_before_a_change_is_rejected_and_not_shown() {
    let mut fleet = Fleet::start().await;
    let before = read_without_end(&fleet, 0).await;
    assert_eq!(fleet.change(1, "Logic").await, 200);
    let refused = fleet.metric(0, "cache_fill_total{result=\"rejected\"").await;
    fleet.database.release();
    assert_eq!(answer(before).await, (200, json!(1)), "who asked before the change may see what was before");
    assert_eq!(fleet.metric(0, "cache_fill_total{result=\"rejected\"").await, refused + 1);
    assert_eq!((fleet.read(0).await, fleet.read(1).await), ((200, json!(2)), (200, json!(2))));
    assert_eq!(fleet.loads().await, 2);
}

#[tokio::test]
async fn readers_after_a_change_elsewhere_join_no_older_load() {
    let mut fleet = Fleet::start().await;
    let before = read_without_end(&fleet, 1).await;
    assert_eq!(fleet.change(0, "Logic").await, 200);
    let leases = fleet.metric(1, LEASES).await;
    let after = loop {
        let after = ask(&fleet, 1);
        tokio::time::sleep(Duration::from_millis(50)).await; // a reader who comes too early joins the old load
        if fleet.metric(1, LEASES).await > leases {
            break after;
        }
    };
    fleet.database.release();
    assert_eq!((answer(before).await, answer(after).await), ((200, json!(1)), (200, json!(2))));
    assert_eq!(fleet.loads().await, 2);
}

/// Reads and changes of all.
#[derive(Default)]
struct Raced {
    reads: AtomicU32,
    changes: AtomicU32,
}

impl Raced {
    fn is_enough(&self) -> bool {
        self.reads.load(Ordering::Relaxed) > 500 && self.changes.load(Ordering::Relaxed) > 50
    }
}

/// Reads and changes these exams through one process, at random, until then and until there was enough of a race.
async fn read_and_change(fleet: Arc<Fleet>, exams: Arc<[String]>, api: usize, until: Instant, raced: Arc<Raced>) {
    while Instant::now() < until || !raced.is_enough() {
        assert!(Instant::now() < until + TIMEOUT, "too few to race");
        let exam = &exams[fastrand::usize(..exams.len())];
        if fastrand::u8(..10) > 0 {
            assert_eq!(fleet.read_sheet(api, exam).await.0, 200);
            raced.reads.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        let (status, written) = fleet.change_exam(api, exam, "Logic").await;
        assert_eq!(status, 200);
        let (status, seen) = fleet.read_sheet(api, exam).await;
        assert!(status == 200 && seen.as_i64() >= written.as_i64(), "wrote {written}, read {seen}");
        raced.changes.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_misses_an_own_change_and_nothing_stays_stale() {
    let fleet = Arc::new(Fleet::start().await);
    let exams: Arc<[String]> = fleet.copies(19).await.into();
    let seconds = if std::env::var_os("EXAMHALL_LONG").is_some() { 60 } else { 10 };
    let until = Instant::now() + Duration::from_secs(seconds);
    let raced = Arc::new(Raced::default());
    let race = |n: usize| read_and_change(Arc::clone(&fleet), Arc::clone(&exams), n % 2, until, Arc::clone(&raced));
    for ended in join_all((0..16).map(|n| tokio::spawn(race(n)))).await {
        ended.expect("nobody missed an own change");
    }
    println!("{:?} reads and {:?} changes of {} exams", raced.reads, raced.changes, exams.len());
    for exam in exams.iter() {
        let id = exam.trim_start_matches("/exams/");
        let stored: i64 =
            fleet.sql(&format!("SELECT version FROM exams WHERE id = '{id}'")).await.parse().expect("one");
        for api in [0, 1] {
            let agrees = async || (fleet.read_sheet(api, exam).await == (200, json!(stored))).then_some(());
            eventually("memory, Redis and database to agree", LATE, agrees).await;
        }
    }
}
