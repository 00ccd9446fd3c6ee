//! `mailer --once`: sends the mails that are due, then exits.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use examhall_boot::{exit, shutdown, start::StartError};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::output::{answer, answer_json};
use crate::{
    app::Mailer,
    drain::{DrainOptions, DrainSummary, EarlyStop, Progress},
};

/// Interval between two lines of progress without a terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    /// Send at most this many mails
    #[arg(long, requires = "once", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Stop after this time, for example 90s, 10m or 1h
    #[arg(long, requires = "once", value_name = "TIME", value_parser = duration)]
    max_time: Option<Duration>,
    /// Send nothing, only print the summary
    #[arg(long, requires = "once")]
    dry_run: bool,
    /// Print the summary as one JSON object
    #[arg(long, requires = "once")]
    json: bool,
}

pub(super) async fn run(mailer: Mailer, args: &DrainArgs) -> Result<ExitCode, StartError> {
    let stop = shutdown::on_signal()?;
    mailer.await_redis().await?;
    let options = DrainOptions { limit: args.limit, max_time: args.max_time, dry_run: args.dry_run };
    let (progress, ended) = (Progress::default(), CancellationToken::new());
    let reporting = tokio::spawn(report_progress(mailer.due().await, progress.clone(), ended.clone()));
    let drain = mailer.drain(options, progress, stop).await;
    ended.cancel();
    reporting.await?;
    let drain = drain?;
    if args.json {
        answer_json(&serde_json::to_string(&drain)?)?;
    } else {
        answer(&summary(&drain))?;
    }
    Ok(if args.dry_run { ExitCode::SUCCESS } else { exit_code(&drain) })
}

/// Shows the progress: a bar on a terminal, and lines otherwise.
async fn report_progress(due: u64, progress: Progress, ended: CancellationToken) {
    let stderr = std::io::stderr();
    if !stderr.is_terminal() {
        let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + PLAIN_INTERVAL, PLAIN_INTERVAL);
        while ended.run_until_cancelled(clock.tick()).await.is_some() {
            let _ = writeln!(&stderr, "{} of {due} done", progress.done()); // stderr may be closed
        }
        return;
    }
    let bar = ProgressBar::new(due);
    let template = "{wide_bar} {pos}/{len}  {per_sec}  {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    while ended.run_until_cancelled(clock.tick()).await.is_some() {
        bar.set_position(progress.done());
    }
    bar.finish_and_clear();
}

fn exit_code(drain: &DrainSummary) -> ExitCode {
    match drain.early {
        Some(EarlyStop::Provider) => ExitCode::from(exit::UNAVAILABLE),
        Some(EarlyStop::Stopped) => ExitCode::from(exit::TEMPFAIL),
        None if drain.failed > 0 => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
}

fn summary(drain: &DrainSummary) -> String {
    let DrainSummary { drained, sent, retried_later, failed, ambiguous, left, seconds, per_second, .. } = drain;
    let next = left.next_at.map(|at| format!(" (next {}Z)", &at.to_string()[11..19])).unwrap_or_default();
    format!(
        "drained {drained}: {sent} sent, {retried_later} retried later, {failed} failed, {ambiguous} ambiguous; \
         left {} delayed{next}, {} active elsewhere; {seconds:.1} s, {per_second:.1}/s",
        left.delayed, left.active_elsewhere
    )
}

/// Parses a number with a unit: ms, s, m or h; seconds without one.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = match unit {
        "ms" => 1,
        "" | "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        _ => return Err("must be a time like 500ms, 90s, 10m or 1h".to_owned()),
    };
    let number: u64 = number.parse().map_err(|_| "must begin with a whole number, for example 10m".to_owned())?;
    Ok(Duration::from_millis(number.saturating_mul(unit)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Remaining;
    use examhall_core::Timestamp;

    #[test]
    fn summary_follows_the_contract() {
        let left = Remaining {
            waiting: 0,
            delayed: 7,
            active_elsewhere: 1,
            next_at: Some("2026-11-23T14:03:10Z".parse::<Timestamp>().expect("a time")),
        };
        let drain = DrainSummary {
            drained: 1204,
            sent: 1198,
            retried_later: 4,
            failed: 2,
            ambiguous: 0,
            failed_ids: vec![],
            left,
            seconds: 41.2,
            per_second: 29.2,
            early: None,
        };
        assert_eq!(
            summary(&drain),
            "drained 1204: 1198 sent, 4 retried later, 2 failed, 0 ambiguous; \
             left 7 delayed (next 14:03:10Z), 1 active elsewhere; 41.2 s, 29.2/s"
        );
    }

    #[test]
    fn durations_are_numbers_with_a_unit() {
        let read = |text| duration(text).map(|time| time.as_millis());
        assert_eq!(
            (read("500ms"), read("90s"), read("10m"), read("1h"), read("7")),
            (Ok(500), Ok(90_000), Ok(600_000), Ok(3_600_000), Ok(7_000))
        );
        assert!(read("ten").is_err() && read("10d").is_err() && read("").is_err() && read("-1s").is_err());
    }
}
