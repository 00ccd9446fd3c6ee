//! `mailer bounces`: records what a mailbox of bounces and complaints reports.

use std::process::ExitCode;

use clap::Args;
use examhall_boot::start::StartError;

use super::output::{answer, answer_json};
use crate::{app::Mailer, bounces};

#[derive(Debug, Args)]
pub(super) struct BouncesArgs {
    /// Mailbox: maildir:DIR
    #[arg(long, value_name = "MAILBOX")]
    from: String,
    /// Print the summary as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(mailer: &Mailer, args: &BouncesArgs) -> Result<ExitCode, StartError> {
    let maildir = bounces::mailbox(&args.from).map_err(StartError::Usage)?;
    mailer.await_redis().await?;
    let summary = mailer.read_bounces(&maildir).await?;
    if args.json {
        answer_json(&serde_json::to_string(&summary)?)?;
    } else {
        answer(&summary.line())?;
    }
    Ok(ExitCode::SUCCESS)
}
