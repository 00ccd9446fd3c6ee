//! `mailer --once`.

use std::{
    io::{IsTerminal, Write},
    process::ExitCode,
    time::Duration,
};

use clap::Args;
use examhall_boot::{exit, shutdown};
use indicatif::{ProgressBar, ProgressStyle};
use tokio_util::sync::CancellationToken;

use super::{answer, answer_json};
use crate::{Drain, DrainOptions, Early, Mailer, Progress};

/// How often progress is told where there is no terminal.
const PLAIN_INTERVAL: Duration = Duration::from_secs(10);

#[derive(Debug, Args)]
pub(super) struct DrainArgs {
    /// Send at most so many mails
    #[arg(long, requires = "once", value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    limit: Option<u64>,
    /// Stop after this time, for example 90s, 10m or 1h
    #[arg(long, requires = "once", value_name = "TIME", value_parser = duration)]
    max_time: Option<Duration>,
    /// Send nothing, only say what is there
    #[arg(long, requires = "once")]
    dry_run: bool,
    /// Print the summary as one JSON object
    #[arg(long, requires = "once")]
    json: bool,
}

pub(super) async fn run(mailer: Mailer, args: &DrainArgs) -> anyhow::Result<ExitCode> {
    let stop = shutdown::on_signal()?;
    mailer.await_redis().await?;
    let options = DrainOptions { limit: args.limit, max_time: args.max_time, dry_run: args.dry_run };
    let (progress, told) = (Progress::default(), CancellationToken::new());
    let telling = tokio::spawn(tell(mailer.due().await, progress.clone(), told.clone()));
    let drain = mailer.drain(options, progress, stop).await;
    told.cancel();
    telling.await?;
    let drain = drain?;
    if args.json {
        answer_json(&serde_json::to_string(&drain)?)?;
    } else {
        answer(&summary(&drain))?;
    }
    Ok(if args.dry_run { ExitCode::SUCCESS } else { exit_code(&drain) })
}

/// Shows how far it is: a bar on a terminal, else a line now and then.
async fn tell(due: u64, progress: Progress, told: CancellationToken) {
    let stderr = std::io::stderr();
    if !stderr.is_terminal() {
        let mut clock = tokio::time::interval_at(tokio::time::Instant::now() + PLAIN_INTERVAL, PLAIN_INTERVAL);
        while told.run_until_cancelled(clock.tick()).await.is_some() {
            let _ = writeln!(&stderr, "{} of {due} done", progress.done()); // progress is for whoever still looks
        }
        return;
    }
    let bar = ProgressBar::new(due);
    let template = "{wide_bar} {pos}/{len}  {per_sec}  {eta}";
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    let mut clock = tokio::time::interval(Duration::from_millis(100));
    while told.run_until_cancelled(clock.tick()).await.is_some() {
        bar.set_position(progress.done());
    }
    bar.finish_and_clear();
}

fn exit_code(drain: &Drain) -> ExitCode {
    match drain.early {
        Some(Early::Provider) => ExitCode::from(exit::UNAVAILABLE),
        Some(Early::Stopped) => ExitCode::from(exit::TEMPFAIL),
        None if drain.failed > 0 => ExitCode::FAILURE,
        None => ExitCode::SUCCESS,
    }
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

/// A number and a unit: ms, s, m or h; seconds where there is none.
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
    use crate::Left;
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
            early: None,
        };
        assert_eq!(
            summary(&drain),
            "drained 1204: 1198 sent, 4 retried later, 2 failed, 0 ambiguous; \
             left 7 delayed (next 14:03:10Z), 1 active elsewhere; 41.2 s, 29.2/s"
        );
    }

    #[test]
    fn times_are_numbers_with_a_unit() {
        let read = |text| duration(text).map(|time| time.as_millis());
        assert_eq!(
            (read("500ms"), read("90s"), read("10m"), read("1h"), read("7")),
            (Ok(500), Ok(90_000), Ok(600_000), Ok(3_600_000), Ok(7_000))
        );
        assert!(read("ten").is_err() && read("10d").is_err() && read("").is_err() && read("-1s").is_err());
    }
}
