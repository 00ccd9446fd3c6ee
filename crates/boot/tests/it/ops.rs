use std::time::Duration;

use examhall_boot::{health::Health, liveness::Liveness, metrics::Metrics, ops::Ops};
use tokio_util::sync::CancellationToken;

async fn get(ready: bool, path: &str) -> (u16, String) {
    ask(ready, Liveness::default(), path).await
}

async fn ask(ready: bool, liveness: Liveness, path: &str) -> (u16, String) {
    let metrics = Metrics::install();
    metrics::counter!("ops_test_total").increment(3);
    let ops = Ops::new(metrics, liveness, move || Health::default().readiness(ready));
    let stop = CancellationToken::new();
    let address = ops.serve("127.0.0.1:0".parse().expect("an address"), stop.clone()).await.expect("a free port");
    let response = reqwest::get(format!("http://{address}{path}")).await.expect("an answer");
    stop.cancel();
    (response.status().as_u16(), response.text().await.expect("a body"))
}

#[tokio::test]
async fn metrics_show_what_was_counted() {
    let (status, body) = get(true, "/metrics").await;
    assert_eq!(status, 200);
    assert!(body.contains("ops_test_total 3"), "{body}");
}

#[tokio::test]
async fn only_readiness_depends_on_dependencies() {
    assert_eq!(get(true, "/readyz").await.0, 200);
    assert_eq!(get(false, "/readyz").await, (503, r#"{"status":"unready","dependencies":{}}"#.into()));
    assert_eq!(get(false, "/healthz").await.0, 200);
}

#[tokio::test]
async fn an_unknown_path_lists_the_known_ones() {
    let (status, body) = get(true, "/").await;
    assert_eq!(status, 404);
    assert!(body.contains("/metrics"));
}

#[tokio::test]
async fn a_dead_loop_fails_healthz_by_name() {
    let liveness = Liveness::default();
    liveness.follow("worker", || Duration::from_secs(75));
    assert_eq!(ask(true, liveness, "/healthz").await, (503, "worker has had no heartbeat for 75 s\n".to_owned()));
}
