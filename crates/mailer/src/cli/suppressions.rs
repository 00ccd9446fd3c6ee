//! `mailer suppressions`: shows and changes the suppression list.

use std::process::ExitCode;

use clap::Subcommand;
use examhall_boot::start::StartError;
use examhall_core::{EmailAddress, Timestamp};
use examhall_delivery::{Added, NewSuppression, Suppression, SuppressionCause};
use serde_json::{Value, json};

use super::output::{answer, answer_json};
use crate::{app::Mailer, suppressions::canonical};

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// List suppressed addresses, with reason and dates; those that are held, too
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
        #[arg(required_unless_present = "held")]
        address: Option<String>,
        /// All addresses that are held
        #[arg(long, conflicts_with = "address")]
        held: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Let addresses that are held be suppressed: their source was right
    Confirm {
        /// The address
        #[arg(required_unless_present = "all")]
        address: Option<String>,
        /// All addresses that are held
        #[arg(long, conflicts_with = "address")]
        all: bool,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

pub(super) async fn run(mailer: &Mailer, command: &Command) -> Result<ExitCode, StartError> {
    mailer.await_redis().await?;
    let list = mailer.handler.suppressions.list();
    match command {
        Command::List { json: true } => {
            let entries: Vec<_> = list.list().await?.iter().map(shown).collect();
            answer_json(&json!(entries).to_string())?;
        }
        Command::List { .. } => list.list().await?.iter().try_for_each(|one| answer(&line(one)))?,
        Command::Add { address, reason, json } => {
            let address = match EmailAddress::parse(address) {
                Ok(address) => canonical(address.as_str()),
                Err(error) => return Err(StartError::Usage(error.into())),
            };
            let cause = SuppressionCause::Operator;
            let added = list.add(NewSuppression { address: &address, reason, cause, source: "", job_id: "" }).await?
                != Added::Known;
            print(*json, &json!({"added": added}), if added { "added" } else { "was there already" })?;
        }
        Command::Remove { address: Some(address), json, .. } => {
            let removed = list.remove(&canonical(address)).await?;
            print(*json, &json!({"removed": removed}), if removed { "removed" } else { "was not there" })?;
        }
        Command::Remove { address: None, json, .. } => {
            let held = held(mailer).await?;
            for address in &held {
                list.remove(address).await?;
            }
            print(*json, &json!({"removed": held.len()}), &format!("removed {}", held.len()))?;
        }
        Command::Confirm { address, json, .. } => {
            let addresses = match address {
                Some(address) => vec![canonical(address)],
                None => held(mailer).await?,
            };
            let confirmed = list.confirm(&addresses).await?;
            print(*json, &json!({"confirmed": confirmed}), &format!("confirmed {confirmed}"))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn held(mailer: &Mailer) -> anyhow::Result<Vec<String>> {
    let list = mailer.handler.suppressions.list().list().await?;
    Ok(list.into_iter().filter(|one| one.is_held).map(|one| one.address).collect())
}

fn shown(one: &Suppression) -> Value {
    json!({
        "address": one.address, "reason": one.reason, "cause": one.cause, "source": one.source,
        "since": Timestamp::from_millis(one.since), "until": one.until.map(Timestamp::from_millis), "held": one.is_held,
    })
}

fn line(one: &Suppression) -> String {
    let until = one.until.map(|until| format!(" until {}", Timestamp::from_millis(until))).unwrap_or_default();
    let held = if one.is_held { "HELD  " } else { "" };
    format!("{held}{}{until}  {}  {}", Timestamp::from_millis(one.since), one.address, one.reason)
}

fn print(as_json: bool, object: &Value, text: &str) -> anyhow::Result<()> {
    if as_json { answer_json(&object.to_string()) } else { answer(text) }
}
