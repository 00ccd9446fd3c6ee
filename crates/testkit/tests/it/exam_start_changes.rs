//! Changes that meet readers, with two `api` processes: nobody is shown what was read before a change after it.

use std::time::Duration;

use reqwest::Response;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::exam_start::{A_SHEET, Fleet};

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
