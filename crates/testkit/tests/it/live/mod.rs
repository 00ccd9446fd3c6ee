//! The alerts that are shipped, each fired by its fault: under a real Prometheus, with the times they have in production.
//! Minutes long, so `./scripts/test-live prometheus` starts them, and `./scripts/test` does not.
#![expect(clippy::print_stdout, reason = "how long each alert takes to fire, for docs/operations.md")]

mod dashboard;
mod of_instances;
mod of_the_api;
mod of_the_mailer;

use std::{
    collections::BTreeSet,
    fs,
    time::{Duration, Instant},
};

use examhall_testkit::{Process, Redis, World, eventually, free_port};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{Api, TIMEOUT, commands::root, last_number};

/// Longer than the slowest alert takes: a quarter of an hour, after a window of a quarter of an hour.
const FIRES: Duration = Duration::from_mins(35);

/// How often the programs are scraped and the rules evaluated.
const INTERVAL: &str = "5s";

/// Both programs, watched by a Prometheus that has the alerts of `deploy/prometheus`.
struct Live {
    world: World,
    api: Api,
    mailer: Process,
    _exporter: Process,
    _prometheus: Process,
    address: String,
    _folder: TempDir,
}

impl Live {
    async fn start(world: World) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let api = Api::start(&world).await;
        let mailer = world.mailer(&[]);
        let mut ports = Vec::new();
        for process in [&api.process, &mailer] {
            ports.push(last_number(&process.line("Health and metrics on port").await).expect("a port"));
        }
        let exporter = exporter(&world.redis);
        ports.push(exporter.1);
        let (prometheus, address) = prometheus(&folder, &ports).await;
        let live =
            Self { world, api, mailer, _exporter: exporter.0, _prometheus: prometheus, address, _folder: folder };
        let wanted = ports.len();
        eventually("all are scraped", TIMEOUT, async || {
            let up = live.query("sum(up)").await;
            (up.len() == 1 && up[0].1 == wanted.to_string()).then_some(())
        })
        .await;
        live
    }

    /// Runs a command of `mailer queue`.
    async fn queue(&self, args: &[&str]) {
        let mut command = self.world.mailer(&[&["queue"], args].concat());
        assert!(command.exit(TIMEOUT).await.success(), "{}", command.output());
    }

    /// The series of a query, with their labels, and their values as text.
    async fn query(&self, query: &str) -> Vec<(Value, String)> {
        let url = format!("{}/api/v1/query", self.address);
        let url = reqwest::Url::parse_with_params(&url, [("query", query)]).expect("an address");
        let answer: Value = reqwest::get(url).await.expect("an answer").json().await.expect("JSON");
        assert_eq!(answer["status"], "success", "{query}: {answer}");
        let series = answer["data"]["result"].as_array().cloned().unwrap_or_default();
        series.into_iter().map(|one| (one["metric"].clone(), text(&one["value"][1]))).collect()
    }

    /// The names of the alerts that fire now.
    async fn firing(&self) -> BTreeSet<String> {
        let firing = self.query("ALERTS{alertstate=\"firing\"}").await;
        firing.iter().map(|(labels, _)| text(&labels["alertname"])).collect()
    }

    /// Waits until an alert fires, and says how long that took.
    async fn fires(&self, alert: &str) {
        let name = format!("Examhall{alert}");
        let begun = Instant::now();
        let firing = eventually(&format!("{name} fires"), FIRES, async || {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let firing = self.firing().await;
            firing.contains(&name).then_some(firing)
        })
        .await;
        let others: Vec<_> = firing.into_iter().filter(|other| *other != name).collect();
        let others = if others.is_empty() { String::new() } else { format!(", with {}", others.join(", ")) };
        println!("alert {name} fires {} s after its fault{others}", begun.elapsed().as_secs());
    }

    /// As [`fires`](Self::fires), while `cause` is repeated.
    async fn fires_while(&self, alert: &str, pause: Duration, mut cause: impl AsyncFnMut()) {
        let repeat = async {
            loop {
                cause().await;
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = self.fires(alert) => {}
            () = repeat => {}
        }
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What says to Prometheus how Redis is.
fn exporter(redis: &Redis) -> (Process, u16) {
    let port = free_port();
    let mut command = Command::new("prometheus-redis-exporter");
    command.args(["-redis.addr", &format!("redis://127.0.0.1:{}", redis.port())]);
    command.args(["-web.listen-address", &format!("127.0.0.1:{port}")]);
    (Process::spawn("prometheus-redis-exporter", &mut command), port)
}

/// Returns it, and its address.
async fn prometheus(folder: &TempDir, ports: &[u16]) -> (Process, String) {
    let port = free_port();
    let jobs = ["examhall-api", "examhall-mailer", "redis"]
        .iter()
        .zip(ports)
        .map(|(job, port)| json!({"job_name": job, "static_configs": [{"targets": [format!("127.0.0.1:{port}")]}]}));
    let config = json!({
        "global": {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL},
        "rule_files": [root().join("deploy/prometheus/examhall.rules.yml")],
        "scrape_configs": jobs.collect::<Vec<_>>(),
    });
    // JSON is YAML.
    fs::write(folder.path().join("prometheus.yml"), config.to_string()).expect("a file");
    let mut command = Command::new("prometheus");
    command.current_dir(folder.path()).args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
    let process = Process::spawn("prometheus", command.arg(format!("--web.listen-address=127.0.0.1:{port}")));
    process.line("Server is ready to receive web requests").await;
    (process, format!("http://127.0.0.1:{port}"))
}
