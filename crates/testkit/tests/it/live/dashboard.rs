//! The dashboard that is shipped shows what the programs export.

use std::{fs, time::Duration};

use examhall_testkit::{World, eventually};
use serde_json::Value;

use super::Live;
use crate::{TIMEOUT, commands::root, database::commit_mails, seed, token};

/// All queries in a dashboard, with its variables replaced by what Grafana puts there.
fn queries() -> Vec<String> {
    fn visit(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                found.extend(fields.get("expr").and_then(Value::as_str).map(ToOwned::to_owned));
                fields.values().for_each(|field| visit(field, found));
            }
            Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
            _ => {}
        }
    }
    let dashboard = fs::read_to_string(root().join("deploy/grafana/examhall.json")).expect("the dashboard");
    let mut found = Vec::new();
    visit(&serde_json::from_str(&dashboard).expect("JSON"), &mut found);
    found.into_iter().map(|query| query.replace("$__rate_interval", "1m").replace("$__range", "1m")).collect()
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn every_query_of_the_dashboard_has_data() {
    let live = Live::start(World::start().await).await;
    let seeded = seed(&live.world).await;
    let student = token(&live.api, seeded["studentEmails"][0].as_str().expect("text"), "examhall-demo").await;
    let sheet = format!("{}/exams/{}/questions", live.api.base, seeded["examId"].as_str().expect("an id"));
    let queries = queries();
    assert!(queries.len() > 20, "{}", queries.len());
    let missing = eventually("data of most", TIMEOUT, async || {
        commit_mails(&live.world, 20).await;
        for _ in 0..20 {
            live.api.client.get(&sheet).bearer_auth(&student).send().await.expect("an answer");
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut missing = Vec::new();
        for query in &queries {
            if live.query(query).await.is_empty() {
                missing.push(query.clone());
            }
        }
        (missing.len() <= 10).then_some(missing)
    })
    .await;
    println!("dashboard {} of {} queries return data", queries.len() - missing.len(), queries.len());
    // Counters of what has not happened have no series yet.
    let of_faults = ["trouble", "refus", "ambiguous", "stalled", "suppress", "failed", "evict", "stale", "errors"];
    let unknown: Vec<_> = missing.iter().filter(|query| !of_faults.iter().any(|part| query.contains(part))).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
}
