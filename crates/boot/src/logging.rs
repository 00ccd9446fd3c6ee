//! Log lines: one per event, for people or as JSON.

use std::{fmt, io, os::fd::AsFd};

use tracing::{Event, Level, Subscriber};
use tracing_subscriber::{
    EnvFilter,
    fmt::{
        FmtContext,
        format::{FormatEvent, FormatFields, Writer},
        writer::BoxMakeWriter,
    },
    registry::LookupSpan,
};

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

/// What libraries log unless `RUST_LOG` names them: fred warns at each attempt of what we log once for an outage, and the others
/// tell of their start.
const LIBRARIES: &str = "actix_server=warn,fred=error,sqlx::postgres::notice=warn";

/// Starts logging. Call it once, before the first event; a second call has no effect.
pub fn init(settings: &LogSettings, output: Output) {
    let filter = EnvFilter::try_new(format!("{LIBRARIES},{}", settings.filter));
    let filter = filter.unwrap_or_else(|_| EnvFilter::new(format!("{LIBRARIES},info")));
    let escape = match settings.format {
        LogFormat::Pretty => terminal::coloured,
        LogFormat::Json => terminal::json,
    };
    let writer = match output {
        Output::Stdout => BoxMakeWriter::new(move || Escaping { inner: io::stdout(), escape }),
        Output::Stderr => BoxMakeWriter::new(move || Escaping { inner: io::stderr(), escape }),
    };
    let is_journal = output.is_journal();
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).with_target(false);
    let started = match settings.format {
        LogFormat::Pretty => builder.compact().map_event_format(|format| Prioritized { format, is_journal }).try_init(),
        LogFormat::Json => {
            let builder = builder.json().flatten_event(true).with_current_span(true).with_span_list(false);
            builder.map_event_format(|format| Prioritized { format, is_journal }).try_init()
        }
    };
    if started.is_err() {
        tracing::debug!("logging was started before");
    }
}

/// Priority of errors, as syslog counts.
const ERROR: u8 = 3;

impl Output {
    /// Returns whether it leads to systemd's journal (`JOURNAL_STREAM`, see `systemd.exec(5)`).
    fn is_journal(self) -> bool {
        let Ok(journal) = std::env::var("JOURNAL_STREAM") else { return false };
        let stat = match self {
            Self::Stdout => rustix::fs::fstat(io::stdout().as_fd()),
            Self::Stderr => rustix::fs::fstat(io::stderr().as_fd()),
        };
        stat.is_ok_and(|stat| journal == format!("{}:{}", stat.st_dev, stat.st_ino))
    }

    /// Returns what begins a line about an error, so that the journal knows its priority.
    pub(crate) fn error_prefix(self) -> String {
        if self.is_journal() { format!("<{ERROR}>") } else { String::new() }
    }
}

/// Begins each line with its priority, from which the journal takes it (`sd-daemon(3)`).
struct Prioritized<F> {
    format: F,
    is_journal: bool,
}

impl<S, N, F> FormatEvent<S, N> for Prioritized<F>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
    F: FormatEvent<S, N>,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        if self.is_journal {
            write!(writer, "<{}>", priority(*event.metadata().level()))?;
        }
        self.format.format_event(context, writer, event)
    }
}

fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => ERROR,
        Level::WARN => 4,
        Level::INFO => 6,
        _ => 7,
    }
}
