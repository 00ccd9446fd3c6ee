//! The command line of `mailer`.

mod check;
mod once;
mod output;
mod queue;
mod suppressions;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use examhall_boot::{
    check::list,
    exit,
    logging::{self, Output},
    settings::{MailerSettings, SettingsArgs, Values},
    shutdown,
    traces::Traces,
};

use self::output::fail;
use crate::{app::Mailer, checks};

/// Examhall's mail worker.
#[derive(Debug, Parser)]
#[command(
    name = "mailer",
    version,
    after_help = "Settings come from --config, .env, the environment and --set; .env.example lists them all.\n\n\
                  Examples:\n  \
                  mailer                                 work the queue until SIGTERM\n  \
                  mailer --once                          send everything that is due, then exit (not just one mail,\n                                         \
                  as --once means in Laravel)\n  \
                  mailer --once --max-time 10m --json    the same, within limits, with a summary for scripts\n  \
                  mailer check                           test Redis, and login and TLS of the SMTP server\n  \
                  mailer send-test --to ada@example.com  send one mail directly, without the queue\n  \
                  mailer queue status                    number of mails in each state, and the oldest one\n  \
                  mailer suppressions list               suppressed addresses, with reasons\n\n\
                  Exit codes: 0 done; 1 drained, but some mails failed permanently; 64 bad usage; 69 Redis or the mail\n\
                  provider refuses or is down; 75 stopped early with mails left; 78 bad settings"
)]
pub struct Args {
    /// Send everything that is due, then exit
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    drain: once::DrainArgs,
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    settings: SettingsArgs,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Work the queue until SIGTERM (the default)
    Run,
    /// Test all dependencies without sending a mail, and print how to fix what fails
    Check(check::CheckArgs),
    /// Send one mail directly, without the queue
    SendTest(check::SendTestArgs),
    /// Inspect and change the queue
    #[command(subcommand)]
    Queue(queue::Command),
    /// Inspect and change the suppression list
    #[command(subcommand)]
    Suppressions(suppressions::Command),
}

/// Runs the command; returns its exit code.
pub fn run(args: &Args) -> ExitCode {
    if args.once && args.command.is_some() {
        return fail(exit::USAGE, &anyhow::anyhow!("--once stands alone: `mailer --once`"));
    }
    if let Some(Command::Check(check::CheckArgs { list: true, .. })) = &args.command {
        let _ = write!(std::io::stdout(), "{}", list(checks::all())); // stdout may be closed
        return ExitCode::SUCCESS;
    }
    let settings = match Values::load(&args.settings).and_then(|values| MailerSettings::checked(&values)) {
        Ok(settings) => settings,
        Err(error) => return fail(exit::CONFIG, &error.into()),
    };
    let serves = !args.once && matches!(args.command, None | Some(Command::Run));
    logging::init(&settings.log, if serves { Output::Stdout } else { Output::Stderr });
    let _traces = match Traces::start(settings.collector.as_ref(), "examhall-mailer") {
        Ok(traces) => traces,
        Err(error) => return fail(exit::CONFIG, &anyhow::Error::from(error).context("OTEL_EXPORTER_OTLP_ENDPOINT")),
    };
    if rustls::crypto::ring::default_provider().install_default().is_err() {
        tracing::debug!("A TLS provider was installed before");
    }
    // One thread: the work is I/O, and waking another thread costs more than the work it would do.
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(exit::UNAVAILABLE, &error.into()),
    };
    runtime.block_on(async {
        let mailer = match Mailer::new(settings) {
            Ok(mailer) => mailer,
            Err(error) => return fail(exit::CONFIG, &error),
        };
        let done = match &args.command {
            _ if args.once => once::run(mailer, &args.drain).await,
            None | Some(Command::Run) => serve(mailer).await,
            Some(Command::Check(command)) => check::check(mailer, command).await,
            Some(Command::SendTest(command)) => check::send_test(mailer, command).await,
            Some(Command::Queue(command)) => queue::run(&mailer, command).await,
            Some(Command::Suppressions(command)) => suppressions::run(&mailer, command).await,
        };
        done.unwrap_or_else(|error| match error.downcast_ref() {
            Some(examhall_queue::Error::NeedsHashTag { .. }) => fail(exit::CONFIG, &error),
            _ => fail(exit::UNAVAILABLE, &error),
        })
    })
}

async fn serve(mailer: Mailer) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    mailer.await_redis().await?;
    mailer.run(stop).await?;
    tracing::info!("Stopped");
    Ok(ExitCode::SUCCESS)
}
