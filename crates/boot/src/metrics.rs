//! The process's metrics, in Prometheus's text format.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use metrics_process::Collector;

/// Histogram buckets of durations, in seconds: from a cached answer to the longest SMTP dialogue.
const SECONDS: &[f64] =
    &[0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0];

/// Metrics that all crates of this process record with the `metrics` macros.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Installs the process's recorder. A second call returns the same one.
    pub fn install() -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let builder = PrometheusBuilder::new();
            let builder = builder.set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), SECONDS);
            let recorder = builder.unwrap_or_else(|_| PrometheusBuilder::new()).build_recorder(); // fails only without buckets
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed: /metrics stays empty");
            }
            handle
        });
        Self(handle.clone())
    }

    /// Aggregates the samples of histograms; otherwise a process that is not scraped keeps every sample.
    pub(crate) fn run_upkeep(&self) {
        self.0.run_upkeep();
    }

    /// Returns the text of `/metrics`.
    pub fn render(&self) -> String {
        Collector::default().collect();
        self.run_upkeep();
        self.0.render()
    }
}
