//! `mailer suppressions`: shows and changes the suppression list.

use std::process::ExitCode;

use clap::Subcommand;
use examhall_boot::start::StartError;
use examhall_core::{EmailAddress, Timestamp};
use serde_json::json;

use super::output::{answer, answer_json};
use crate::{app::Mailer, suppressions::canonical};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List suppressed addresses, with reason and date
    List {
        /// Print one JSON array
        #[arg(long)]
        json: bool,
    },
    /// Suppress an address: nothing is sent to it
    Add {
        /// The address
        address: String,
        /// Reason
        #[arg(long, default_value = "by an operator")]
        reason: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove an address from the list
    Remove {
        /// The address
        address: String,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(mailer: &Mailer, command: &Command) -> Result<ExitCode, StartError> {
    mailer.await_redis().await?;
    let list = mailer.handler.suppressions.list();
    match command {
        Command::List { json } => {
            let entries = list.list().await?;
            if *json {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|one| json!({"address": one.address, "reason": one.reason, "since": Timestamp::from_millis(one.since)}))
                    .collect();
                answer_json(&json!(entries).to_string())?;
            } else {
                for one in entries {
                    answer(&format!("{}  {}  {}", Timestamp::from_millis(one.since), one.address, one.reason))?;
                }
            }
        }
        Command::Add { address, reason, json } => {
            let address = match EmailAddress::parse(address) {
                Ok(address) => canonical(address.as_str()),
                Err(error) => return Err(StartError::Usage(error.into())),
            };
            let added = list.add(&address, reason).await?;
            print(*json, &json!({"added": added}), if added { "added" } else { "was there already" })?;
        }
        Command::Remove { address, json } => {
            let removed = list.remove(&canonical(address)).await?;
            print(*json, &json!({"removed": removed}), if removed { "removed" } else { "was not there" })?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn print(as_json: bool, object: &serde_json::Value, text: &str) -> anyhow::Result<()> {
    if as_json { answer_json(&object.to_string()) } else { answer(text) }
}
