//! `deploy/prometheus` and `deploy/grafana`: alerts that fire when they should, and no query for what nobody measures.

use std::{collections::BTreeSet, fs};

use serde_json::{Value, json};

use super::{documents, read, root, run, tool};

const RULES: &str = "deploy/prometheus/examhall.rules.yml";
const OPERATOR_RULES: &str = "deploy/kubernetes/components/monitoring/rules.yaml";

fn rules() -> Vec<Value> {
    let groups = documents(&root().join(RULES)).remove(0)["groups"].clone();
    groups
        .as_array()
        .expect("groups")
        .iter()
        .flat_map(|group| group["rules"].as_array().expect("rules").clone())
        .collect()
}

fn alerts() -> BTreeSet<String> {
    rules().iter().map(|rule| rule["alert"].as_str().expect("a name").to_owned()).collect()
}

#[test]
fn alerts_fire_when_they_should_and_only_then() {
    run(tool("promtool").args(["check", "rules", RULES]));
    run(tool("promtool").args(["check", "config", "deploy/prometheus/prometheus.yml"]));
    run(tool("promtool").args(["test", "rules", "deploy/prometheus/examhall.rules.test.yml"]));
    let tests = read("deploy/prometheus/examhall.rules.test.yml");
    for alert in alerts() {
        assert!(tests.contains(&format!("- name: {alert} fires")), "{alert} has no test");
        assert!(tests.contains(&format!("- name: {alert} stays quiet")), "{alert} has no test of its silence");
    }
}

#[test]
fn every_alert_has_a_runbook_entry() {
    let runbook = read("docs/operations.md");
    let headings: BTreeSet<_> = runbook.lines().filter_map(|line| line.strip_prefix("### Examhall")).collect();
    let alerts = alerts();
    let names: BTreeSet<_> = alerts.iter().map(|alert| alert.trim_start_matches("Examhall")).collect();
    assert_eq!(headings, names);
    for rule in rules() {
        let link = format!("docs/operations.md#{}", rule["alert"].as_str().expect("a name").to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], link);
        assert!(["page", "ticket"].contains(&rule["labels"]["severity"].as_str().expect("a severity")));
    }
}

/// `UPDATE_PROMETHEUS_RULE=1` writes the file.
#[test]
fn the_operator_gets_the_same_alerts() {
    let text = read(RULES);
    let groups = &text[text.find("groups:").expect("groups")..];
    let indented: String = groups.lines().flat_map(|line| ["  ", line, "\n"]).collect();
    let current = read(OPERATOR_RULES);
    let (head, _) = current.split_once("spec:\n").expect("a spec");
    let wanted = format!("{head}spec:\n{indented}");
    if std::env::var_os("UPDATE_PROMETHEUS_RULE").is_some() {
        fs::write(root().join(OPERATOR_RULES), &wanted).expect("the file can be written");
    }
    assert_eq!(read(OPERATOR_RULES), wanted);
}

/// All queries of the dashboard and of the alerts.
fn queries() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/examhall.json")).expect("JSON");
    let panels = dashboard["panels"].as_array().expect("panels").clone();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let shown = targets.map(|target| target["expr"].as_str().expect("a query").replace("$__rate_interval", "1m"));
    shown.chain(rules().iter().map(|rule| rule["expr"].as_str().expect("a query").to_owned())).collect()
}

#[test]
fn every_query_is_understood_by_prometheus() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let records = queries().into_iter().enumerate();
    let records: Vec<_> = records.map(|(i, query)| json!({"record": format!("query_{i}"), "expr": query})).collect();
    let file = folder.path().join("queries.yml");
    fs::write(&file, json!({"groups": [{"name": "queries", "rules": records}]}).to_string()).expect("a file");
    run(tool("promtool").args(["check", "rules"]).arg(&file));
}
