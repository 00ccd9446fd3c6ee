//! The command line of `mailer`.

mod bounces;
mod check;
mod find;
mod once;
mod output;
mod queue;
mod status;
mod suppressions;

use std::{io::Write, process::ExitCode};

use clap::{Parser, Subcommand};
use examhall_boot::{
    check::list,
    live,
    logging::Output,
    settings::{MailerSettings, Purpose, SettingsArgs},
    shutdown,
    start::{self, StartError},
};
use tokio::runtime::Builder;

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
                  mailer queue status                    whether mails go out, what waits, and what is in the queue\n  \
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
    /// Record what a mailbox of bounces and complaints reports
    Bounces(bounces::BouncesArgs),
    /// Inspect and change the suppression list
    #[command(subcommand)]
    Suppressions(suppressions::Command),
}

/// Runs the command; returns its exit code.
pub fn run(args: &Args) -> ExitCode {
    start(args).unwrap_or_else(|error| error.report("mailer"))
}

fn start(args: &Args) -> Result<ExitCode, StartError> {
    if args.once && args.command.is_some() {
        return Err(StartError::Usage(anyhow::anyhow!("--once stands alone: `mailer --once`")));
    }
    if let Some(Command::Check(check::CheckArgs { list: true, .. })) = &args.command {
        let _ = write!(std::io::stdout(), "{}", list(checks::all())); // stdout may be closed
        return Ok(ExitCode::SUCCESS);
    }
    if let Some(Command::Check(check::CheckArgs { live: true, .. })) = &args.command {
        return live::check(&args.settings, "MAILER_OPS_BIND");
    }
    let settings: MailerSettings = start::settings(&args.settings, Purpose::Run)?;
    let serves = !args.once && matches!(args.command, None | Some(Command::Run));
    let output = if serves { Output::Stdout } else { Output::Stderr };
    // One thread: the work is I/O, and waking another thread costs more than the work it would do.
    start::run(settings, output, Builder::new_current_thread(), |settings| async move {
        let mailer = Mailer::new(settings).map_err(StartError::Setting)?;
        match &args.command {
            _ if args.once => once::run(mailer, &args.drain).await,
            None | Some(Command::Run) => serve(mailer, &args.settings).await,
            Some(Command::Check(command)) => Ok(check::check(mailer, command).await?),
            Some(Command::SendTest(command)) => Ok(check::send_test(mailer, command).await?),
            Some(Command::Queue(command)) => queue::run(&mailer, command).await,
            Some(Command::Bounces(args)) => bounces::run(&mailer, args).await,
            Some(Command::Suppressions(command)) => suppressions::run(&mailer, command).await,
        }
    })
}

async fn serve(mailer: Mailer, args: &SettingsArgs) -> Result<ExitCode, StartError> {
    let stop = shutdown::on_signal()?;
    let args = args.clone();
    mailer.reload_on_hangup(move || start::settings(&args, Purpose::Run))?;
    mailer.await_redis().await?;
    mailer.run(stop).await?;
    tracing::info!("Stopped");
    Ok(ExitCode::SUCCESS)
}
