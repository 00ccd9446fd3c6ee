//! The command line of `mailer`.

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use examhall_boot::{
    exit,
    logging::{self, Output},
    settings::{MailerSettings, SettingsArgs, Values},
    shutdown,
};

use crate::{Drain, Mailer};

/// Examhall's mail worker.
#[derive(Debug, Parser)]
#[command(
    name = "mailer",
    version,
    after_help = "Settings come from --config, .env, the environment and --set; .env.example lists them all.\n\n\
                  Examples:\n  \
                  mailer                        work the queue until told to stop\n  \
                  mailer --once                 send everything that is due, then exit (not just one mail)\n  \
                  mailer --once --json          the same, with a summary for scripts\n\n\
                  Exit codes of --once: 0 drained, 1 some mails failed for good, 64 bad usage, 69 Redis is away,\n\
                  75 stopped early with mails left, 78 bad settings"
)]
pub struct Args {
    /// Send everything that is due, then exit
    #[arg(long)]
    once: bool,
    /// Print the summary as one JSON object
    #[arg(long, requires = "once")]
    json: bool,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Subcommand)]
enum Command {
    /// Work the queue until told to stop (the default)
    Run,
}

/// Does what the command line says; gives the exit code.
pub fn run(args: &Args) -> ExitCode {
    if args.once && args.command.is_some() {
        return fail(exit::USAGE, &anyhow::anyhow!("--once stands alone: `mailer --once`"));
    }
    let settings = match Values::load(&args.settings).and_then(|values| MailerSettings::checked(&values)) {
        Ok(settings) => settings,
        Err(error) => return fail(exit::CONFIG, &error.into()),
    };
    logging::init(&settings.log, if args.once { Output::Stderr } else { Output::Stdout });
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("a TLS provider was installed before");
    }
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::UNAVAILABLE, &error.into()),
    };
    runtime.block_on(async {
        let mailer = match Mailer::connect(settings).await {
            Ok(mailer) => mailer,
            Err(error) => return fail(exit::CONFIG, &error),
        };
        let done = if args.once { drain(mailer, args.json).await } else { serve(mailer).await };
        done.unwrap_or_else(|error| fail(exit::UNAVAILABLE, &error))
    })
}

async fn serve(mailer: Mailer) -> anyhow::Result<ExitCode> {
    mailer.run(shutdown::on_signal()?).await?;
    tracing::info!("Stopped");
    Ok(ExitCode::SUCCESS)
}

async fn drain(mailer: Mailer, json: bool) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    let drain = mailer.drain(stop.clone()).await?;
    let line = if json { serde_json::to_string(&drain)? } else { summary(&drain) };
    writeln!(std::io::stdout(), "{line}").context("stdout")?;
    Ok(if drain.left.waiting > 0 && stop.is_cancelled() {
        ExitCode::from(exit::TEMPFAIL)
    } else if drain.failed > 0 {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

fn summary(drain: &Drain) -> String {
    let Drain { drained, sent, retried_later, failed, ambiguous, left, seconds, per_second, .. } = drain;
    let next = left.next_at.map(|at| format!(" (next {}Z)", &at.to_string()[11..19])).unwrap_or_default();
    format!(
        "drained {drained}: {sent} sent, {retried_later} retried later, {failed} failed, {ambiguous} ambiguous; \
         left {} delayed{next}, {} active elsewhere; {seconds:.1} s, {per_second:.1}/s",
        left.delayed, left.active_elsewhere
    )
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "mailer: {error:#}"); // nobody is left to tell where stderr is gone
    ExitCode::from(code)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::Left;
    use examhall_core::Timestamp;

    #[test]
    fn the_summary_is_that_of_the_contract() {
        let left = Left {
            waiting: 0,
            delayed: 7,
            active_elsewhere: 1,
            next_at: Some("2026-11-23T14:03:10Z".parse::<Timestamp>().expect("a time")),
        };
        let drain = Drain {
            drained: 1204,
            sent: 1198,
            retried_later: 4,
            failed: 2,
            ambiguous: 0,
            failed_ids: vec![],
            left,
            seconds: 41.2,
            per_second: 29.2,
        };
        assert_eq!(
            summary(&drain),
            "drained 1204: 1198 sent, 4 retried later, 2 failed, 0 ambiguous; \
             left 7 delayed (next 14:03:10Z), 1 active elsewhere; 41.2 s, 29.2/s"
        );
    }
}
