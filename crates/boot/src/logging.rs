//! Log lines: one per event, for people or as JSON.

use std::io;

use tracing_subscriber::{EnvFilter, fmt::writer::BoxMakeWriter};

use crate::{
    settings::{LogFormat, LogSettings},
    terminal::{self, Escaping},
};

/// Destination of log lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// For daemons.
    Stdout,
    /// For commands, whose stdout is their result.
    Stderr,
}

/// Starts logging. Call it once, before the first event; a second call has no effect.
pub fn init(settings: &LogSettings, output: Output) {
    let filter = EnvFilter::try_new(&settings.filter).unwrap_or_else(|_| EnvFilter::new("info"));
    let escape = match settings.format {
        LogFormat::Pretty => terminal::coloured,
        LogFormat::Json => terminal::json,
    };
    let writer = match output {
        Output::Stdout => BoxMakeWriter::new(move || Escaping { inner: io::stdout(), escape }),
        Output::Stderr => BoxMakeWriter::new(move || Escaping { inner: io::stderr(), escape }),
    };
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    let started = match settings.format {
        LogFormat::Pretty => builder.compact().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).with_current_span(true).with_span_list(false).try_init(),
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}
