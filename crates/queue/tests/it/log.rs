//! What a test sees of a worker from outside: its log, and the commands that it sends.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use tracing::subscriber::DefaultGuard;

use crate::Bench;

/// The log of this thread, and with it of a test's runtime.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("no panic").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    pub(crate) fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt().with_ansi(false).with_writer(move || writer.clone()).finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    pub(crate) fn count(&self, text: &str) -> usize {
        self.text().matches(text).count()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.0.lock().expect("no panic")).into_owned()
    }
}

/// Returns how often a command was called.
pub(crate) async fn calls(bench: &Bench, command: &str) -> u64 {
    let stats = bench.redis.cmd::<String>("INFO commandstats").await;
    let counted = stats.lines().find_map(|line| line.strip_prefix(&format!("cmdstat_{command}:calls=")));
    counted.and_then(|rest| rest.split(',').next()?.parse().ok()).unwrap_or_default()
}
