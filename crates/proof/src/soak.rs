//! A soak: mails at a steady rate for an hour or so, of which some are put off, while what the processes take is watched.

use std::{collections::HashMap, fmt::Write, fs, time::Duration};

use anyhow::{Context, ensure};
use examhall_testkit::{Action, Phase};
use fastrand::Rng;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};

use crate::{
    pipeline::Pipeline,
    producer::Producer,
    report::{machine, number},
    run::Plan,
};

/// Of a hundred mails so many are put off once or more.
const DEFERRED: u32 = 5;
/// Samples of a whole soak. The first and the last tenth are compared, after a tenth in which everything warms up.
const SAMPLES: u32 = 200;
/// Growth of a process's memory that is no leak, in MB.
const GROWTH: f64 = 5.0;

/// What was taken at one moment.
#[derive(Clone, Debug)]
struct Sample {
    /// Resident memory of each process in MB.
    memory: Vec<f64>,
    /// Connections of each process.
    sockets: Vec<usize>,
    /// Clients of Redis.
    clients: u64,
    /// Keys in Redis that are neither a kept job nor an entry of the ledger.
    other_keys: u64,
    /// Keys in Redis.
    keys: u64,
}

/// What came of it, as a page.
pub(crate) struct Soaked {
    pub(crate) page: String,
    pub(crate) is_good: bool,
}

/// Runs it for so long.
pub(crate) async fn soak(plan: &Plan, time: Duration, commit: &str, date: &str) -> anyhow::Result<Soaked> {
    let pipeline = Pipeline::start(plan.pipeline()).await?;
    defer_some(&pipeline, plan.seed);
    let args = ["create-user", "--email", "root@example.com", "--role", "admin"];
    let output = pipeline.command("api", &args).await?;
    let password = output.lines().find_map(|line| line.strip_prefix("password ")).context("no password")?;
    let log_in = ("root@example.com".to_owned(), password.to_owned());
    let mut producer = Producer::start(pipeline.bases(), log_in, usize::MAX, plan.rate);

    let mut samples = Vec::new();
    let mut accepted: HashMap<String, usize> = HashMap::new();
    let mut clock = interval(time / SAMPLES);
    clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    while begun.elapsed() < time {
        clock.tick().await;
        pipeline.forget_lines();
        count(&pipeline, &mut accepted);
        samples.push(Sample::take(&pipeline).await?);
        if samples.len().is_multiple_of(20) {
            progress(begun.elapsed(), time, accepted.len(), samples.last());
        }
    }
    let promises = producer.finish().await;
    let took = begun.elapsed();
    pipeline.world.smtp.behave(|_, _| Action::Proceed);
    let unfinished = unfinished(&pipeline, plan.settles_within).await;
    count(&pipeline, &mut accepted);
    let lost = promises.iter().filter(|promise| !accepted.contains_key(&promise.job_id)).count();
    let twice = accepted.values().filter(|count| **count > 1).count();
    ensure!(samples.len() > 40, "the soak was too short to say anything");

    let growths: Vec<f64> = (0..4).map(|process| growth(&samples, process)).collect();
    let is_good = lost == 0 && twice == 0 && unfinished == "0" && growths.iter().all(|growth| *growth < GROWTH);
    let mut page = format!(
        "| | |\n|---|---|\n| commit, date | `{commit}`, {date} |\n| machine | {} |\n| time | {} min |\n| **mails** | \
         **{}**, {:.0}/s; {DEFERRED} % of the recipients were put off (452) |\n| **lost** | {lost} |\n| **sent twice** | {twice} |\n| without an end {} min later | {unfinished} |\n",
        machine(),
        took.as_secs() / 60,
        number(promises.len()),
        f64::from(u32::try_from(promises.len())?) / took.as_secs_f64(),
        plan.settles_within.as_secs() / 60,
    );
    report(&samples, &growths, &mut page);
    Ok(Soaked { page, is_good })
}

/// Some recipients' servers say "later" at first.
fn defer_some(pipeline: &Pipeline, seed: u64) {
    let random = std::sync::Mutex::new(Rng::with_seed(seed));
    pipeline.world.smtp.behave(move |phase, _| {
        let is_put_off = phase == Phase::Rcpt && random.lock().expect("no session panicked").u32(0..100) < DEFERRED;
        if is_put_off { Action::Reply("452 4.2.2 mailbox full".to_owned()) } else { Action::Proceed }
    });
}

/// How many mails have no end, once that is none or the time is over.
async fn unfinished(pipeline: &Pipeline, within: Duration) -> String {
    let open = async || pipeline.rows("SELECT count(*) FROM mail_outbox WHERE outcome IS NULL").await.concat();
    let ended = async {
        while open().await != "0" {
            promote_all(pipeline).await;
            sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = timeout(within, ended).await; // what is left is counted
    open().await
}

/// Has every mail tried now that was put off: a full mailbox is tried again after a quarter of an hour and more.
async fn promote_all(pipeline: &Pipeline) {
    let delayed: Vec<String> = pipeline.world.redis.cmd("ZRANGE bull:email:delayed 0 -1").await;
    for id in delayed {
        let _ = pipeline.command("mailer", &["queue", "promote", &id]).await; // it may be due by itself meanwhile
    }
}

fn count(pipeline: &Pipeline, accepted: &mut HashMap<String, usize>) {
    for mail in pipeline.world.smtp.take() {
        let name = mail.header("Message-ID").unwrap_or_default();
        let id = name.trim_start_matches('<').split('@').next().unwrap_or_default();
        *accepted.entry(id.to_owned()).or_default() += 1;
    }
}

impl Sample {
    async fn take(pipeline: &Pipeline) -> anyhow::Result<Self> {
        let pids = pipeline.pids();
        let keys: u64 = pipeline.world.redis.cmd("DBSIZE").await;
        let completed: u64 = pipeline.world.redis.cmd("ZCARD bull:email:completed").await;
        let clients: String = pipeline.world.redis.cmd("INFO clients").await;
        let clients = clients.lines().find_map(|line| line.strip_prefix("connected_clients:")).context("no clients")?;
        Ok(Self {
            memory: pids.iter().map(|pid| memory(*pid)).collect::<anyhow::Result<_>>()?,
            sockets: pids.iter().map(|pid| sockets(*pid)).collect::<anyhow::Result<_>>()?,
            clients: clients.trim().parse()?,
            keys,
            other_keys: keys.saturating_sub(2 * completed),
        })
    }
}

/// Resident memory of a process in MB.
fn memory(pid: u32) -> anyhow::Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

fn sockets(pid: u32) -> anyhow::Result<usize> {
    let entries = fs::read_dir(format!("/proc/{pid}/fd"))?.flatten();
    let targets = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
    Ok(targets.filter(|target| target.to_string_lossy().starts_with("socket:")).count())
}

/// By how much a process's memory grew: from the second tenth of the samples to the last one, in MB.
fn growth(samples: &[Sample], process: usize) -> f64 {
    let tenth = samples.len() / 10;
    let mean = |of: &[Sample]| {
        of.iter().map(|sample| sample.memory[process]).sum::<f64>() / f64::from(u32::try_from(of.len()).unwrap_or(1))
    };
    mean(&samples[samples.len() - tenth..]) - mean(&samples[tenth..2 * tenth])
}

fn report(samples: &[Sample], growths: &[f64], out: &mut String) {
    for (process, name) in ["first API", "second API", "first mailer", "second mailer"].iter().enumerate() {
        let most = samples.iter().map(|sample| sample.memory[process]).fold(0.0, f64::max);
        let sockets = samples.iter().map(|sample| sample.sockets[process]).max().unwrap_or_default();
        let growth = growths[process];
        let _ = writeln!(
            out,
            "| {name} | memory at most {most:.1} MB, growth {growth:+.1} MB; at most {sockets} connections |"
        );
    }
    let clients = samples.iter().map(|sample| sample.clients).max().unwrap_or_default();
    let others = samples.iter().map(|sample| sample.other_keys).max().unwrap_or_default();
    let keys = samples.last().map_or(0, |sample| sample.keys);
    let _ = writeln!(
        out,
        "| Redis | at most {clients} clients; {} keys at the end, of which at most {others} are neither a job that is kept for \
         a day nor its entry in the ledger |",
        number(usize::try_from(keys).unwrap_or(usize::MAX)),
    );
}

#[expect(clippy::print_stderr, reason = "stdout is for the verdict")]
fn progress(since: Duration, of: Duration, mails: usize, sample: Option<&Sample>) {
    let memory =
        sample.map(|sample| sample.memory.iter().map(|mb| format!("{mb:.0} MB")).collect::<Vec<_>>().join(", "));
    eprintln!("{} of {} s, {mails} mails; {}", since.as_secs(), of.as_secs(), memory.unwrap_or_default());
}

/// Reads a time such as `60m`, `90s` or `2h`.
pub(crate) fn time(text: &str) -> Result<Duration, String> {
    let hint = || format!("{text:?} is no time such as 60m, 90s or 2h");
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let number: u32 = number.parse().map_err(|_| hint())?;
    match unit {
        "s" => Ok(Duration::from_secs(number.into())),
        "m" => Ok(Duration::from_mins(number.into())),
        "h" => Ok(Duration::from_hours(number.into())),
        _ => Err(hint()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_a_unit() {
        assert_eq!(time("60m"), Ok(Duration::from_hours(1)));
        assert_eq!(time("90s"), Ok(Duration::from_secs(90)));
        for bad in ["", "m", "60", "-1m", "1d", "60 m", "6µ", "µ"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn growth_leaves_out_the_first_tenth() {
        let sample = |mb: f64| Sample { memory: vec![mb], sockets: vec![], clients: 0, other_keys: 0, keys: 0 };
        let samples: Vec<_> = (0..100).map(|n| sample(if n < 10 { 1.0 } else { 20.0 + f64::from(n / 90) })).collect();
        assert!((growth(&samples, 0) - 1.0).abs() < 1e-9);
    }
}
