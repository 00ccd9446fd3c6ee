//! The process's counters and gauges, in Prometheus's text format.

use std::sync::OnceLock;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};

/// What all crates of this process have counted with the `metrics` macros.
#[derive(Clone, Debug)]
pub struct Metrics(PrometheusHandle);

impl Metrics {
    /// Collects from now on. The collector is the process's own: a second call gives the same one.
    pub fn install() -> Self {
        static HANDLE: OnceLock<PrometheusHandle> = OnceLock::new();
        let handle = HANDLE.get_or_init(|| {
            let recorder = PrometheusBuilder::new().build_recorder();
            let handle = recorder.handle();
            if metrics::set_global_recorder(recorder).is_err() {
                tracing::warn!("another metrics recorder is installed: /metrics stays empty");
            }
            handle
        });
        Self(handle.clone())
    }

    /// The text that `/metrics` answers.
    pub fn render(&self) -> String {
        self.0.run_upkeep();
        self.0.render()
    }
}
