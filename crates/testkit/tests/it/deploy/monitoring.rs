//! `deploy/prometheus` and `deploy/grafana`: alerts that fire when they should, and no query for what nobody measures.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    time::{Duration, Instant},
};

use examhall_testkit::World;
use reqwest::Client;
use serde_json::{Value, json};

use super::{documents, read, root, run, tool};
use crate::{Api, TIMEOUT, last_number, seed};

const RULES: &str = "deploy/prometheus/examhall.rules.yml";
/// Where on-call reads on: in the repository that Cargo.toml names.
const RUNBOOK: &str = "https://github.com/examhall/examhall/blob/main/docs/operations.md";
const OPERATOR_RULES: &str = "deploy/kubernetes/components/monitoring/rules.yaml";

/// What others measure: Prometheus itself and `redis_exporter`.
const FOREIGN: &[&str] = &[
    "up",
    "redis_memory_used_bytes",
    "redis_memory_max_bytes",
    "redis_instance_info",
    "redis_rdb_last_bgsave_status",
    "redis_aof_last_write_status",
];

/// What is counted only when something has gone wrong, so that a healthy run does not show it: it must stand in the
/// sources as a metric's name.
const RARE: &[&str] = &[
    "mailer_ambiguous_total",
    "mailer_breaker_state",
    "mailer_policy_refusals_total",
    "mailer_suppressions_held_total",
    "mailer_suppressions_total",
    "mailer_provider_trouble_total",
    "rate_limited_total",
    "cache_invalidation_pending",
    "cache_invalidation_lag_seconds_bucket",
];

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
    let (repository, _) = RUNBOOK.split_once("/blob/").expect("a file in a repository");
    assert!(read("Cargo.toml").contains(&format!("repository = \"{repository}\"")), "{repository}");
    let runbook = read("docs/operations.md");
    let headings: BTreeSet<_> = runbook.lines().filter_map(|line| line.strip_prefix("### Examhall")).collect();
    let alerts = alerts();
    let names: BTreeSet<_> = alerts.iter().map(|alert| alert.trim_start_matches("Examhall")).collect();
    assert_eq!(headings, names);
    for rule in rules() {
        let link = format!("{RUNBOOK}#{}", rule["alert"].as_str().expect("a name").to_lowercase());
        assert_eq!(rule["annotations"]["runbook_url"], link);
        let console = rule["annotations"]["console_url"].as_str().expect("a page of the console");
        assert!(console.starts_with("{{ $externalLabels.public_url }}/console"), "{console}");
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

/// The names of metrics in a query: words with an underscore, or `up`, that are no label, function or keyword.
fn metrics_of(query: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut depth = 0_i32;
    let mut word = String::new();
    for c in query.chars().chain([' ']) {
        if c.is_ascii_alphanumeric() || c == '_' {
            word.push(c);
            continue;
        }
        let known = ["avg_over_time", "min_over_time", "max_over_time", "histogram_quantile", "label_replace"]
            .contains(&word.as_str());
        if depth == 0 && !known && (word.contains('_') || word == "up") {
            names.insert(word.clone());
        }
        word.clear();
        depth += i32::from(c == '{') - i32::from(c == '}');
    }
    names
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

#[tokio::test]
async fn every_query_asks_for_what_the_programs_measure() {
    let world = World::start().await;
    let api = Api::start(&world).await;
    let mailer = world.mailer(&[]);
    let mut ports = Vec::new();
    for process in [&api.process, &mailer] {
        ports.push(last_number(&process.line("Health and metrics on port").await).expect("a port"));
    }
    use_everything(&api, &world).await;

    let asked: BTreeSet<_> = queries().iter().flat_map(|query| metrics_of(query)).collect();
    assert!(asked.len() > 20, "{asked:?}");
    let sources = run(tool("grep").args(["-rhoE", r#"[a-z]!\("[a-z0-9_]+""#, "--include=*.rs", "crates"]));
    let in_sources = |name: &str| sources.contains(&format!("!(\"{}\"", name.trim_end_matches("_bucket")));
    let excused = |name: &str| FOREIGN.contains(&name) || RARE.contains(&name) && in_sources(name);
    let wanted: BTreeSet<_> = asked.iter().filter(|name| !excused(name)).collect();
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let shown = shown(&api.client, &ports).await;
        let missing: Vec<_> = wanted.iter().filter(|name| !shown.contains(**name)).collect();
        if missing.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "nobody measures {missing:?}");
        tokio::time::sleep(Duration::from_millis(100)).await; // gauges are measured now and then
    }
}

/// Signs up, has the mail sent, and reads and changes an exam.
async fn use_everything(api: &Api, world: &World) {
    api.sign_up("ada@example.com").await;
    world.smtp.wait_for(1).await;
    let seeded = seed(world).await;
    let exam = format!("{}/exams/{}", api.base, seeded["examId"].as_str().expect("an id"));
    for email in [&seeded["studentEmails"][0], &seeded["authorEmail"]] {
        let tokens: Value =
            api.log_in(email.as_str().expect("text"), "examhall-demo").await.json().await.expect("JSON");
        let token = tokens["accessToken"].as_str().expect("a token");
        let read = api.client.get(format!("{exam}/questions")).bearer_auth(token).send().await.expect("an answer");
        assert!(read.status().is_success(), "{}", read.status());
    }
}

/// The names that these ports show.
async fn shown(client: &Client, ports: &[u16]) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for port in ports {
        let answer = client.get(format!("http://127.0.0.1:{port}/metrics")).send().await.expect("an answer");
        let text = answer.text().await.expect("text");
        names.extend(text.lines().filter_map(|line| line.split(['{', ' ']).next()).map(ToOwned::to_owned));
    }
    names
}

/// Whether all matchers of Alertmanager's, such as `alertname=~"A|B"`, match these labels.
fn matches(matchers: &Value, labels: &BTreeMap<&str, &str>) -> bool {
    matchers.as_array().expect("matchers").iter().all(|matcher| {
        let text = matcher.as_str().expect("text");
        let (name, rest) = text.split_once('=').expect("an operator");
        let wanted = rest.trim_start_matches('~').trim_matches('"');
        let label = labels.get(name).copied().unwrap_or_default();
        if rest.starts_with('~') { wanted.split('|').any(|one| one == label) } else { wanted == label }
    })
}

/// Which of these alerts notify somebody, as Alertmanager decides.
fn notified<'a>(firing: &[BTreeMap<&'a str, &'a str>]) -> Vec<&'a str> {
    let config = documents(&root().join("deploy/prometheus/alertmanager.yml")).remove(0);
    let inhibitions = config["inhibit_rules"].as_array().expect("rules");
    let is_inhibited = |target: &BTreeMap<_, _>| {
        inhibitions.iter().any(|rule| {
            matches(&rule["target_matchers"], target)
                && firing.iter().any(|source| matches(&rule["source_matchers"], source))
        })
    };
    firing.iter().filter(|alert| !is_inhibited(alert)).map(|alert| alert["alertname"]).collect()
}

#[test]
fn one_outage_notifies_once() {
    let alert = |name: &'static str| BTreeMap::from([("alertname", name)]);
    let with = |name, label, value| BTreeMap::from([("alertname", name), (label, value)]);
    let down = |server| with("ExamhallDependencyDown", "server", server);
    let late = ["ExamhallVerificationMailLate", "ExamhallMailLate", "ExamhallNoMailAccepted"].map(alert);
    let (breaker, mailer, api) =
        (alert("ExamhallMailBreakerOpen"), alert("ExamhallMailerGone"), alert("ExamhallApiGone"));
    let full = ["ExamhallMailOutboxStuck", "ExamhallCacheBypassed", "ExamhallInvalidationsPending"].map(alert);
    for (outage, firing) in [
        (down("redis"), [&full[..], &late, &[alert("ExamhallRedisMemory")]].concat()),
        (down("database"), ["ExamhallApiErrors", "ExamhallApiSlow", "ExamhallMailOutboxStuck"].map(alert).to_vec()),
        (breaker, [&late[..], &[alert("ExamhallMailInDoubt")]].concat()),
        (alert("ExamhallMailBreaksOff"), vec![alert("ExamhallMailInDoubt"), alert("ExamhallMailFailing")]),
        (mailer, [&late[..], &[with("ExamhallInstanceGone", "job", "examhall-mailer")]].concat()),
        (api, vec![with("ExamhallInstanceGone", "job", "examhall-api")]),
    ] {
        let all = [std::slice::from_ref(&outage), &firing[..]].concat();
        assert_eq!(notified(&all), [outage["alertname"]], "{outage:?}");
    }
    let others = [alert("ExamhallMailerGone"), with("ExamhallInstanceGone", "job", "examhall-api")];
    assert_eq!(notified(&others).len(), 2, "an API is no mailer");
}

#[test]
fn inhibitions_name_alerts_that_exist() {
    let (config, alerts) = (read("deploy/prometheus/alertmanager.yml"), alerts());
    let named: BTreeSet<_> = config
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| word.len() > "Examhall".len() && word.starts_with("Examhall"))
        .collect();
    let unknown: Vec<_> = named.iter().filter(|name| !alerts.contains(**name)).collect();
    assert!(named.len() > 15 && unknown.is_empty(), "{unknown:?}");
}
