//! The process's counters and gauges, in Prometheus's text format.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

/// Upper bounds of durations, in seconds: from a cached answer to the longest dialogue with a mail server.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// What all crates of this process have counted with the `metrics` macros.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Collects from now on. The collector is the process's own: a second call gives the same one.
    pub fn install() -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let builder = PrometheusBuilder::new();
            let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS);
            let recorder = builder.unwrap_or_else(|_| PrometheusBuilder::new()).build_recorder(); // fails on none
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed: /metrics stays empty");
            }
            handle
        });
        Self(handle.clone())
    }

    /// Folds up what histograms have collected: else a process that nobody scrapes keeps every sample.
    pub(crate) fn fold(&self) {
        self.0.run_upkeep();
    }

    /// The text that `/metrics` answers.
    pub fn render(&self) -> String {
        Collector::default().collect();
        self.fold();
        self.0.render()
    }
}
