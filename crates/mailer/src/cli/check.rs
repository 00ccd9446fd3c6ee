//! `mailer check` and `mailer send-test`.

use std::process::ExitCode;

use clap::Args;
use examhall_boot::exit;
use examhall_core::{EmailAddress, EmailJob};
use serde_json::json;

use super::output::{answer, answer_json};
use crate::{app::Mailer, checks::TestDelivery};

#[derive(Debug, Args)]
pub(super) struct CheckArgs {
    /// Print the findings as one JSON object
    #[arg(long)]
    json: bool,
    /// Print all checks and their fixes as Markdown, without running them
    #[arg(long, conflicts_with = "json")]
    pub(super) list: bool,
    /// Only ask the mailer that runs here, at `MAILER_OPS_BIND`, whether it is alive: for health checks of containers
    #[arg(long, conflicts_with_all = ["json", "list"])]
    pub(super) live: bool,
}

#[derive(Debug, Args)]
pub(super) struct SendTestArgs {
    /// Recipient of the mail
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    to: EmailAddress,
    /// Print the server's answer as one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn check(mailer: Mailer, args: &CheckArgs) -> anyhow::Result<ExitCode> {
    let report = mailer.check().await;
    let good = report.is_ok();
    if args.json {
        answer_json(&report.to_json())?;
    } else {
        report.to_table().lines().try_for_each(answer)?;
    }
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::from(exit::UNAVAILABLE) })
}

pub(super) async fn send_test(mailer: Mailer, args: &SendTestArgs) -> anyhow::Result<ExitCode> {
    let job = EmailJob {
        to: args.to.as_str().into(),
        subject: "Test mail".to_owned(),
        html: "<p>This mail was sent to test whether mails arrive. They do.</p>".to_owned(),
        text: Some("This mail was sent to test whether mails arrive. They do.".to_owned()),
        ..EmailJob::default()
    };
    let TestDelivery { message_id, provider, response } = mailer.send_directly(&job).await?;
    if args.json {
        let answered = json!({"messageId": message_id, "provider": provider, "response": response});
        answer_json(&answered.to_string())?;
    } else {
        answer(&format!("{provider} accepted {message_id}: {response}"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn address(text: &str) -> Result<EmailAddress, String> {
    text.parse().map_err(|error: examhall_core::BadEmailAddress| error.to_string())
}
