//! `mailer queue`: inspects and changes the queue. Never shows a mail's content.

use std::{process::ExitCode, time::Duration};

use clap::Subcommand;
use examhall_boot::start::StartError;
use examhall_core::{Pause, Priority, Timestamp};
use examhall_queue::{Attempts, Error, JobRecord, ListOrder, State};
use serde_json::{Value, json};

use super::{
    find,
    once::duration,
    output::{Answer, answer, answer_json, fail},
    status::status,
};
use crate::{
    app::Mailer,
    removal::{self, CleanOptions},
    resend, upkeep,
};

#[derive(Debug, clap::Args)]
pub(super) struct Form {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Show whether mails go out, what waits, and the number of mails in each state
    Status {
        #[command(flatten)]
        form: Form,
    },
    /// List mails of one state, newest first
    List {
        /// waiting, prioritized, delayed, active, completed or failed [default: failed; with --to, all of them]
        #[arg(long)]
        state: Option<State>,
        /// Only mails to this address, or to one that contains this
        #[arg(long)]
        to: Option<String>,
        /// Largest number of mails
        #[arg(long, default_value_t = 50)]
        limit: u32,
        /// Number of mails to skip
        #[arg(long, default_value_t = 0)]
        skip: u32,
        #[command(flatten)]
        form: Form,
    },
    /// Show one mail, with its log
    Show {
        /// The job's id
        id: String,
        #[command(flatten)]
        form: Form,
    },
    /// Send a failed mail again
    Retry {
        /// The job's id
        id: String,
        /// Keep the count of its attempts: it gets one more
        #[arg(long)]
        keep_attempts: bool,
        #[command(flatten)]
        form: Form,
    },
    /// Send a copy of a mail that was sent
    Resend {
        /// The job's id
        id: String,
        #[command(flatten)]
        form: Form,
    },
    /// Send all failed mails again, in order of their priority
    RetryFailed {
        /// Only those whose reason contains this
        #[arg(long)]
        reason: Option<String>,
        /// Keep the count of their attempts: each gets one more
        #[arg(long)]
        keep_attempts: bool,
        #[command(flatten)]
        form: Form,
    },
    /// Send a delayed mail now
    Promote {
        /// The job's id
        #[arg(required_unless_present = "all")]
        id: Option<String>,
        /// All delayed mails
        #[arg(long, conflicts_with = "id")]
        all: bool,
        #[command(flatten)]
        form: Form,
    },
    /// Remove a mail that is not in flight
    Remove {
        /// The job's id
        id: String,
        #[command(flatten)]
        form: Form,
    },
    /// Pause all workers of the queue, including those of other systems
    Pause {
        /// Why, for those who look at the queue
        #[arg(long)]
        reason: Option<String>,
        /// Your name
        #[arg(long, default_value_t = user())]
        by: String,
        #[command(flatten)]
        form: Form,
    },
    /// Let workers take mails again
    Resume {
        #[command(flatten)]
        form: Form,
    },
    /// Remove old mails of one state
    Clean {
        /// waiting, prioritized, delayed, completed or failed
        #[arg(long, default_value = "completed")]
        state: State,
        /// Only mails of at least this age, for example 24h
        #[arg(long, default_value = "0s", value_parser = duration)]
        older_than: Duration,
        /// Largest number of mails
        #[arg(long, default_value_t = 1000)]
        limit: u32,
        #[command(flatten)]
        form: Form,
    },
}

pub(super) async fn run(mailer: &Mailer, command: &Command) -> Result<ExitCode, StartError> {
    mailer.await_redis().await?;
    match carry_out(mailer, command).await {
        Ok(found) if form(command).json => answer_json(&found.json.to_string())?,
        Ok(found) if matches!(command, Command::Show { .. }) => answer_json(&found.lines.concat())?,
        Ok(found) => found.lines.iter().try_for_each(|line| answer(line))?,
        Err(error) => match error.downcast_ref() {
            Some(Error::NotFound(_) | Error::WrongState { .. } | Error::Foreign(_)) => return Ok(fail(1, &error)),
            _ if error.is::<resend::Refused>() => return Ok(fail(1, &error)),
            _ => return Err(error.into()),
        },
    }
    Ok(ExitCode::SUCCESS)
}

async fn carry_out(mailer: &Mailer, command: &Command) -> anyhow::Result<Answer> {
    let (queue, ledger) = (&mailer.queue, &mailer.handler.ledger);
    let attempts = |keep: bool| if keep { Attempts::Keep } else { Attempts::Reset };
    Ok(match command {
        Command::Status { .. } => status(mailer).await?,
        Command::List { state, to, limit, skip, .. } => {
            let jobs = match to {
                Some(to) => find::to(queue, to, *state, (*skip, *limit)).await?,
                None => queue.list(state.unwrap_or(State::Failed), *skip, *limit, ListOrder::NewestFirst).await?,
            };
            let lines = jobs.iter().map(line).collect();
            Answer { lines, json: jobs.iter().map(shown).collect() }
        }
        Command::Show { id, .. } => show(mailer, id).await?,
        Command::Retry { id, keep_attempts, .. } => {
            resend::check_not_sent(queue, id).await?;
            queue.retry(id, attempts(*keep_attempts)).await?;
            mailer.operations.failures.forget(std::slice::from_ref(id)).await?;
            counted("retried", 1)
        }
        Command::Resend { id, .. } => {
            let copy = resend::resend(queue, id).await?;
            Answer { lines: vec![format!("resent as {copy}")], json: json!({"resent": 1, "jobId": copy}) }
        }
        Command::RetryFailed { reason, keep_attempts, .. } => {
            let retried = queue.retry_failed(reason.as_deref(), attempts(*keep_attempts)).await?;
            upkeep::refresh_failures(queue, &mailer.operations).await?;
            counted("retried", retried)
        }
        Command::Promote { id: Some(id), .. } => {
            queue.promote(id).await?;
            counted("promoted", 1)
        }
        Command::Promote { id: None, .. } => counted("promoted", queue.promote_all().await?),
        Command::Remove { id, .. } => {
            removal::remove(queue, ledger, id).await?;
            mailer.operations.failures.forget(std::slice::from_ref(id)).await?;
            counted("removed", 1)
        }
        Command::Pause { reason, by, .. } => pause(mailer, by, reason.as_deref()).await?,
        Command::Resume { .. } => {
            queue.resume().await?;
            mailer.operations.pause_note.clear().await?;
            Answer { lines: vec!["resumed".to_owned()], json: json!({"paused": false}) }
        }
        Command::Clean { state, older_than, limit, .. } => {
            let options = CleanOptions { state: *state, older_than: *older_than, limit: *limit };
            let removed = removal::clean(queue, ledger, options).await?;
            upkeep::refresh_failures(queue, &mailer.operations).await?;
            counted("removed", removed)
        }
    })
}

async fn pause(mailer: &Mailer, by: &str, reason: Option<&str>) -> anyhow::Result<Answer> {
    let at = Some(Timestamp::from_millis(mailer.queue.now_ms()));
    let note = Pause { by: Some(by.to_owned()), at, reason: reason.map(ToOwned::to_owned) };
    mailer.operations.pause_note.write(&note).await?;
    mailer.queue.pause().await?;
    Ok(Answer { lines: vec!["paused".to_owned()], json: json!({"paused": true}) })
}

async fn show(mailer: &Mailer, id: &str) -> anyhow::Result<Answer> {
    let (queue, ledger) = (&mailer.queue, &mailer.handler.ledger);
    let job = queue.get(id).await?.ok_or_else(|| Error::NotFound(id.to_owned()))?;
    let mut json = shown(&job);
    if !job.unreadable.is_empty() {
        json["unreadable"] = serde_json::to_value(&job.unreadable)?;
    }
    if let Some(entry) = ledger.get(id).await?.filter(|entry| entry.state.was_accepted()) {
        json["outcome"] = entry.state.feedback().into();
        json["reports"] = serde_json::to_value(&entry.reports)?;
    }
    json["log"] = queue.logs(id, 0, 1000).await?.into();
    let pretty = serde_json::to_string_pretty(&json)?;
    Ok(Answer { lines: vec![pretty], json })
}

/// The user of this process.
fn user() -> String {
    let named = ["SUDO_USER", "USER", "LOGNAME"].into_iter().find_map(|name| std::env::var(name).ok());
    named.filter(|name| !name.is_empty()).unwrap_or_else(|| "an operator".to_owned())
}

fn counted(done: &str, count: u64) -> Answer {
    Answer { lines: vec![format!("{done} {count}")], json: json!({done: count}) }
}

fn line(job: &JobRecord) -> String {
    let reason = job.failed_reason.as_deref().unwrap_or_default();
    let added = Timestamp::from_millis(job.timestamp);
    format!("{}  {added}  priority {}  runs {}  {reason}", job.id, level(job), job.attempts_made)
}

/// Returns a job without its mail's content.
fn shown(job: &JobRecord) -> Value {
    let time = |at: Option<i64>| at.map(Timestamp::from_millis);
    json!({
        "jobId": job.id, "name": job.name, "state": job.state, "priority": level(job),
        "attemptsMade": job.attempts_made, "attempts": job.options.retry.attempts,
        "createdAt": Timestamp::from_millis(job.timestamp), "processedAt": time(job.processed_on),
        "finishedAt": time(job.finished_on), "nextTryAt": time(job.due), "processedBy": job.processed_by,
        "failedReason": job.failed_reason, "returnvalue": job.returnvalue, "stalls": job.stalls,
        "data": redacted(&job.data),
    })
}

fn level(job: &JobRecord) -> u8 {
    Priority::from_bullmq(job.priority).level()
}

/// Returns a job's data with the length of each body instead of the body.
fn redacted(data: &Value) -> Value {
    let Value::Object(fields) = data else { return json!("not a mail") };
    let hide = |(name, value): (&String, &Value)| {
        let shown = match name.as_str() {
            "html" | "text" => json!(format!("[{} bytes]", value.as_str().map_or(0, str::len))),
            "attachments" => json!(format!("[{} files]", value.as_array().map_or(0, Vec::len))),
            "headers" => json!("[hidden]"),
            _ => value.clone(),
        };
        (name.clone(), shown)
    };
    Value::Object(fields.iter().map(hide).collect())
}

fn form(command: &Command) -> &Form {
    match command {
        Command::Status { form }
        | Command::List { form, .. }
        | Command::Show { form, .. }
        | Command::Retry { form, .. }
        | Command::Resend { form, .. }
        | Command::RetryFailed { form, .. }
        | Command::Promote { form, .. }
        | Command::Remove { form, .. }
        | Command::Pause { form, .. }
        | Command::Resume { form }
        | Command::Clean { form, .. } => form,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_of_a_mail_is_not_shown() {
        let data = json!({"to": "a@b.example", "html": "secret", "text": "secret", "attachments": [{"content": "secret"}], "headers": {"X": "secret"}});
        let shown = redacted(&data).to_string();
        assert!(!shown.contains("secret") && shown.contains("a@b.example") && shown.contains("[6 bytes]"), "{shown}");
        assert!(!redacted(&json!("secret")).to_string().contains("secret"));
    }
}
