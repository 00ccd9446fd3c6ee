//! The dashboard that is shipped shows what the programs export.

use std::{
    fs,
    time::{Duration, Instant},
};

use examhall_testkit::World;
use serde_json::{Value, json};

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

/// Whether a query counts what goes wrong: there is no series of what has not happened.
fn is_of_faults(query: &str) -> bool {
    const PARTS: [&str; 12] = [
        "trouble",
        "refus",
        "ambiguous",
        "stalled",
        "suppress",
        "failed",
        "evict",
        "stale",
        "errors",
        "rate_limited",
        "5..",
        "outdated",
    ];
    PARTS.iter().any(|part| query.contains(part))
}

#[tokio::test]
#[ignore = "minutes: ./scripts/test-live prometheus"]
async fn every_query_of_the_dashboard_has_data() {
    let live = Live::start(World::start().await).await;
    let seeded = seed(&live.world).await;
    let log_in = async |email: &Value| token(&live.api, email.as_str().expect("text"), "examhall-demo").await;
    let (author, student) = (log_in(&seeded["authorEmail"]).await, log_in(&seeded["studentEmails"][0]).await);
    let exam = format!("{}/exams/{}", live.api.base, seeded["examId"].as_str().expect("an id"));
    let queries = queries();
    assert!(queries.len() > 20, "{}", queries.len());
    let begun = Instant::now();
    let missing = loop {
        commit_mails(&live.world, 20).await;
        let change = live.api.client.patch(&exam).bearer_auth(&author).json(&json!({"title": "Logic"}));
        assert_eq!(change.send().await.expect("an answer").status(), 200);
        for _ in 0..20 {
            let read = live.api.client.get(format!("{exam}/questions")).bearer_auth(&student);
            assert_eq!(read.send().await.expect("an answer").status(), 200);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        let mut missing = Vec::new();
        for query in &queries {
            if live.query(query).await.is_empty() {
                missing.push(query.as_str());
            }
        }
        let has_all = missing.iter().all(|query| is_of_faults(query));
        if has_all || begun.elapsed() > 2 * TIMEOUT {
            break missing;
        }
    };
    let unknown: Vec<_> = missing.iter().filter(|query| !is_of_faults(query)).collect();
    assert!(unknown.is_empty(), "{unknown:#?}");
    println!(
        "dashboard: {} of {} queries return data, the others count faults",
        queries.len() - missing.len(),
        queries.len()
    );
}
