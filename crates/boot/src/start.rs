//! Start of a program: the same steps for both binaries, and one kind of error that has their exit code.
//!
//! ```text
//!   command line -> settings -> logs -> traces -> TLS -> tokio -> the program's own work -> exit code
//! ```

use std::{fmt::Display, future::Future, io::Write, process::ExitCode, time::Duration};

use anyhow::Context;
use tokio::runtime::Builder;

use crate::{
    exit,
    logging::{self, Output},
    settings::{ApiSettings, LogSettings, MailerSettings, Purpose, SettingsArgs, SettingsError, Values},
    terminal,
    traces::Traces,
};

/// How long a start waits for a dependency before it continues without.
const DEPENDENCY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a program cannot start or continue, with its exit code. Other errors become [`Unavailable`](Self::Unavailable).
#[derive(Debug)]
pub enum StartError {
    /// The command line asks for something that does not exist: [`exit::USAGE`].
    Usage(anyhow::Error),
    /// A setting can never be used: [`exit::CONFIG`].
    Setting(anyhow::Error),
    /// Something that is required refuses or is down: [`exit::UNAVAILABLE`].
    Unavailable(anyhow::Error),
}

impl StartError {
    /// A setting that can never be used, by its name.
    pub fn setting(name: impl Display + Send + Sync + 'static, cause: impl Into<anyhow::Error>) -> Self {
        Self::Setting(cause.into().context(name))
    }

    /// Returns the error without its exit code.
    pub fn into_error(self) -> anyhow::Error {
        match self {
            Self::Usage(error) | Self::Setting(error) | Self::Unavailable(error) => error,
        }
    }

    /// Prints the error on stderr, behind the program's name, and returns its exit code.
    pub fn report(&self, program: &str) -> ExitCode {
        let (code, error) = match self {
            Self::Usage(error) => (exit::USAGE, error),
            Self::Setting(error) => (exit::CONFIG, error),
            Self::Unavailable(error) => (exit::UNAVAILABLE, error),
        };
        let line = format!("{}{program}: {}", Output::Stderr.error_prefix(), terminal::line(&format!("{error:#}")));
        let _ = writeln!(std::io::stderr(), "{line}"); // it may be closed
        ExitCode::from(code)
    }
}

impl<E: Into<anyhow::Error>> From<E> for StartError {
    fn from(error: E) -> Self {
        Self::Unavailable(error.into())
    }
}

/// Settings of a program.
pub trait Settings: Sized {
    /// Its name in traces.
    const SERVICE: &'static str;

    /// Checks all values.
    ///
    /// # Errors
    /// Returns an error that names each invalid setting.
    fn checked(values: &Values, purpose: Purpose) -> Result<Self, SettingsError>;

    /// What is logged, and where traces go.
    fn observed(&self) -> (&LogSettings, Option<&url::Url>);
}

impl Settings for ApiSettings {
    const SERVICE: &'static str = "examhall-api";

    fn checked(values: &Values, purpose: Purpose) -> Result<Self, SettingsError> {
        Self::checked_for(values, purpose)
    }

    fn observed(&self) -> (&LogSettings, Option<&url::Url>) {
        (&self.log, self.collector.as_ref())
    }
}

impl Settings for MailerSettings {
    const SERVICE: &'static str = "examhall-mailer";

    fn checked(values: &Values, _purpose: Purpose) -> Result<Self, SettingsError> {
        Self::checked(values)
    }

    fn observed(&self) -> (&LogSettings, Option<&url::Url>) {
        (&self.log, self.collector.as_ref())
    }
}

/// Loads and checks the settings.
///
/// # Errors
/// Returns [`StartError::Setting`] if a file cannot be read or a setting is invalid.
pub fn settings<S: Settings>(args: &SettingsArgs, purpose: Purpose) -> Result<S, StartError> {
    Values::load(args)
        .and_then(|values| S::checked(&values, purpose))
        .map_err(|error| StartError::Setting(error.into()))
}

/// Starts logs, traces and TLS, and then runs `work` on a runtime.
///
/// # Errors
/// Returns what `work` returns, or an error if traces or threads cannot be started.
pub fn run<S: Settings, F>(
    settings: S,
    output: Output,
    mut runtime: Builder,
    work: impl FnOnce(S) -> F,
) -> Result<ExitCode, StartError>
where
    F: Future<Output = Result<ExitCode, StartError>>,
{
    let (log, collector) = settings.observed();
    logging::init(log, output);
    forbid_core_dumps();
    let traces = Traces::start(collector, S::SERVICE);
    let _traces = traces.map_err(|error| StartError::setting("OTEL_EXPORTER_OTLP_ENDPOINT", error))?;
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("A TLS provider was installed before");
    }
    runtime.enable_all().build().context("no threads")?.block_on(work(settings))
}

/// Keeps secrets in memory out of core dumps, and out of reach of other processes of the same user: `ptrace`, `/proc/PID/mem`.
fn forbid_core_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "Core dumps could not be forbidden");
    }
}

/// Waits up to 2 s for a dependency that the program can do without for a time, and returns whether it is there; if not,
/// `connecting` continues in the background.
///
/// # Errors
/// Returns an error of `connecting` within that time: with this `setting` the dependency cannot be used at all. Later ones
/// are logged.
pub async fn await_dependency<E: Into<anyhow::Error> + Display + Send + 'static>(
    name: &'static str,
    setting: &'static str,
    connecting: impl Future<Output = Result<(), E>> + Send + 'static,
) -> Result<bool, StartError> {
    let refused = move |error: &E| tracing::error!(dependency = name, %error, "A dependency cannot be used");
    let mut connecting = tokio::spawn(async move { connecting.await.inspect_err(refused) });
    match tokio::time::timeout(DEPENDENCY_TIMEOUT, &mut connecting).await {
        // The task ends early with the runtime only.
        Ok(done) => done.unwrap_or(Ok(())).map(|()| true).map_err(|error| StartError::setting(setting, error)),
        Err(_) => Ok(false),
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use rustix::process::{DumpableBehavior, dumpable_behavior};

    #[test]
    fn a_program_leaves_no_core_dump() {
        super::forbid_core_dumps();
        assert_eq!(dumpable_behavior().expect("Linux"), DumpableBehavior::NotDumpable);
    }
}
