//! The command line of `mailer`.

mod check;
mod once;
mod queue;
mod suppressions;

use std::{io::Write, process::ExitCode};

use anyhow::Context;
use clap::{Parser, Subcommand};
use examhall_boot::{
    check::list,
    exit,
    logging::{self, Output},
    settings::{MailerSettings, SettingsArgs, Values},
    shutdown, terminal,
    traces::Traces,
};

use crate::{Mailer, checks};

/// Examhall's mail worker.
#[derive(Debug, Parser)]
#[command(
    name = "mailer",
    version,
    after_help = "Settings come from --config, .env, the environment and --set; .env.example lists them all.\n\n\
                  Examples:\n  \
                  mailer                                 work the queue until told to stop\n  \
                  mailer --once                          send everything that is due, then exit (not just one mail,\n                                         \
                  as --once means in Laravel)\n  \
                  mailer --once --max-time 10m --json    the same, within limits, with a summary for scripts\n  \
                  mailer check                           is Redis there, does the SMTP server let us in?\n  \
                  mailer send-test --to ada@example.com  send one mail, past the queue\n  \
                  mailer queue status                    what waits, and for how long\n  \
                  mailer suppressions list               who is not sent to, and why\n\n\
                  Exit codes: 0 done; 1 drained, but some mails failed for good; 64 bad usage; 69 Redis or the mail\n\
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
    /// Work the queue until told to stop (the default)
    Run,
    /// Test everything that the mailer needs, without sending a mail, and say how to mend what is wrong
    Check(check::CheckArgs),
    /// Send one mail directly, past the queue
    SendTest(check::SendTestArgs),
    /// The operator's hands on the queue
    #[command(subcommand)]
    Queue(queue::Command),
    /// Addresses that are not sent to
    #[command(subcommand)]
    Suppressions(suppressions::Command),
}

/// Does what the command line says; gives the exit code.
pub fn run(args: &Args) -> ExitCode {
    if args.once && args.command.is_some() {
        return fail(exit::USAGE, &anyhow::anyhow!("--once stands alone: `mailer --once`"));
    }
    if let Some(Command::Check(check::CheckArgs { list: true, .. })) = &args.command {
        let _ = write!(std::io::stdout(), "{}", list(checks::all())); // nobody is left to tell where stdout is gone
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
        tracing::debug!("a TLS provider was installed before");
    }
    // One thread: mails are waited for, not computed, and waking another thread costs more than what it would do.
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

/// Prints one line of the command's answer, for people.
fn answer(line: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", terminal::line(line)).context("stdout")
}

/// Prints the command's answer as JSON.
fn answer_json(json: &str) -> anyhow::Result<()> {
    writeln!(std::io::stdout(), "{}", terminal::json(json)).context("stdout")
}

fn fail(code: u8, error: &anyhow::Error) -> ExitCode {
    let _ = writeln!(std::io::stderr(), "mailer: {}", terminal::line(&format!("{error:#}"))); // nobody is left to tell where stderr is gone
    ExitCode::from(code)
}
