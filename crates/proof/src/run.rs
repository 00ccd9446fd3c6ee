//! One run: users post mails, the nemesis strikes, and when all is quiet every mail is judged.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Context;
use examhall_core::EmailJob;
use examhall_testkit::{Database, DatabaseKind};
use indicatif::{ProgressBar, ProgressStyle};
use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    history::{Checker, Seen},
    log::Log,
    model::End,
    nemesis::{Blow, Nemesis, misbehave},
    node::{self, Node},
    pipeline::{Options, Pipeline, Programs},
    producer::{Producer, Promise},
};

/// What a run does.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) programs: Programs,
    pub(crate) database: DatabaseKind,
    /// Redis' `appendfsync`.
    pub(crate) fsync: String,
    pub(crate) seed: u64,
    pub(crate) kills: usize,
    pub(crate) mails: usize,
    /// Mails per second.
    pub(crate) rate: f64,
    /// How many times as often as usual Redis loses what it has.
    pub(crate) losses: u32,
    /// What is struck more often than usual.
    pub(crate) often: Option<Blow>,
    /// Whether Node programs use the queue, too.
    pub(crate) node: bool,
    /// Whether clocks are stepped.
    pub(crate) clock: bool,
    /// Whether Sentinel puts a replica in the place of Redis.
    pub(crate) sentinel: bool,
    /// How long every mail may take to come to its end, once nothing is struck any more.
    pub(crate) settles_within: Duration,
}

impl Plan {
    pub(crate) fn pipeline(&self) -> Options {
        Options {
            programs: self.programs.clone(),
            database: self.database,
            fsync: self.fsync.clone(),
            has_clocks: self.clock,
            has_sentinel: self.sentinel,
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdict {
    pub(crate) blows: BTreeMap<Blow, usize>,
    pub(crate) mails: usize,
    /// Never accepted.
    pub(crate) lost: Vec<String>,
    /// Accepted, and never promised.
    pub(crate) unexpected: Vec<String>,
    /// Accepted more than once, and it was written before that this may be.
    pub(crate) flagged: usize,
    /// Accepted more than once, since Redis was put back to before it was accepted: who does that knows.
    pub(crate) forgotten: usize,
    /// In flight while there were two Redis, of which the model knows one.
    pub(crate) with_two: usize,
    /// Added by Node, and never accepted, since Redis alone knew of them, and has lost what it had.
    pub(crate) lost_with_redis: usize,
    /// Added by Node, and accepted.
    pub(crate) added_by_node: usize,
    /// Accepted from a Node worker.
    pub(crate) sent_by_node: usize,
    /// Accepted more than once, at least once from a Node worker.
    pub(crate) by_node: usize,
    /// Accepted more than once, and nobody said so.
    pub(crate) unflagged: Vec<String>,
    /// Promised only when asked again, and accepted.
    pub(crate) recovered: usize,
    /// Left to an operator at first: its mailers died too often, or its attempts were spent.
    pub(crate) retried: usize,
    /// Whose rows stayed open.
    pub(crate) unfinished: Vec<String>,
    /// Whose history the model does not explain, with it.
    pub(crate) unexplained: Vec<String>,
    /// Different histories.
    pub(crate) kinds: usize,
    /// From the first request to the first acceptance, in ms: of mails that nothing befell, and of the others.
    pub(crate) waits: [Vec<i64>; 2],
    pub(crate) took: Duration,
}

impl Verdict {
    /// Number of processes that died.
    pub(crate) fn kills(&self) -> usize {
        self.blows.iter().filter(|(blow, _)| blow.is_kill()).map(|(_, count)| count).sum()
    }

    /// Mails to which a promise was broken, with what happened, by kind.
    pub(crate) fn faults(&self) -> [(&'static str, &[String]); 5] {
        [
            ("lost", &self.lost),
            ("without an end", &self.unfinished),
            ("unexpected", &self.unexpected),
            ("sent twice, not flagged", &self.unflagged),
            ("not explained by the model", &self.unexplained),
        ]
    }

    /// Whether every promise was kept.
    pub(crate) fn is_good(&self) -> bool {
        self.faults().iter().all(|(_, mails)| mails.is_empty())
    }
}

/// Runs it. An error is that of the run; what is wrong with the product is in the verdict.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Verdict> {
    let began = std::time::Instant::now();
    let mut pipeline = Pipeline::start(plan.pipeline()).await?;
    misbehave(&pipeline.world.smtp, plan.seed);
    let args = ["create-user", "--email", "root@example.com", "--role", "admin"];
    let output = pipeline.command("api", &args).await?;
    let password = output.lines().find_map(|line| line.strip_prefix("password ")).context("no password")?;
    let log_in = ("root@example.com".to_owned(), password.to_owned());
    if plan.node {
        pipeline.node = Some(Node::start(pipeline.proxy.port(), pipeline.world.smtp.port()).await);
    }
    let mut producer = Producer::start(pipeline.bases(), log_in, plan.mails, plan.rate);
    let mut nemesis = Nemesis::new(plan.seed, plan.losses, plan.often);
    let (mut log, mut verdict) = (Log::default(), Verdict::default());
    let bar = progress(plan);
    while verdict.kills() < plan.kills || producer.begun() < plan.mails {
        let blow = nemesis.strike(&mut pipeline, &mut log).await?;
        *verdict.blows.entry(blow).or_default() += 1;
        producer.move_to(pipeline.bases());
        pipeline.read(&mut log);
        bar.set_position(verdict.kills() as u64);
        bar.set_message(format!("{} mails", producer.begun()));
        if bar.is_hidden() && verdict.blows.values().sum::<usize>().is_multiple_of(100) {
            print_progress(&verdict, producer.begun());
        }
    }
    bar.finish_and_clear();
    let mut promises = producer.finish().await;
    if let Some(node) = &mut pipeline.node {
        promises.extend(node.finish().await);
    }
    let mut is_settled = pipeline.settles(plan.settles_within, "outcome IS NULL").await;
    let failed = pipeline.failed().await;
    if !failed.is_empty() {
        for id in &failed {
            log.now(id, Seen::Retried);
        }
        producer.retry(&failed).await?;
        // The rows are those of failed mails until the API has noted the retry.
        is_settled &= pipeline.settles(plan.settles_within, "outcome IS NULL OR outcome = 'failed'").await;
    }
    if !is_settled {
        verdict.unfinished = pipeline.ids_where("outcome IS NULL").await;
        verdict.unfinished.push("jobs or rows did not come to rest in time".to_owned());
    }
    verdict.retried = failed.len();
    pipeline.read(&mut log);
    for end in [End::Sent, End::Failed, End::Removed] {
        pipeline.ended(end).await.iter().for_each(|id| log.now(id, Seen::Ended(end)));
    }
    judge(&promises, &mut log, &mut verdict);
    verdict.took = began.elapsed();
    Ok(verdict)
}

#[expect(clippy::print_stderr, reason = "stdout is for the verdict")]
fn print_progress(verdict: &Verdict, mails: usize) {
    eprintln!("{} kills, {mails} mails", verdict.kills());
}

impl Pipeline {
    /// Waits until no row of the outbox is open, and no job is left to do: one that came back with an earlier Redis may be
    /// that of a closed row. Returns whether that came within the time.
    async fn settles(&self, within: Duration, open: &str) -> bool {
        let open = format!("SELECT count(*) FROM mail_outbox WHERE {open}");
        let settled = async {
            while self.rows(&open).await != ["0"] || self.jobs().await > 0 {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        tokio::time::timeout(within, settled).await.is_ok()
    }

    async fn jobs(&self) -> u64 {
        let redis = &self.world.redis;
        let lists = [redis.cmd::<u64>("LLEN bull:email:wait").await, redis.cmd("LLEN bull:email:active").await];
        let sets =
            [redis.cmd::<u64>("ZCARD bull:email:prioritized").await, redis.cmd("ZCARD bull:email:delayed").await];
        lists.iter().chain(&sets).sum()
    }

    /// The ids of the jobs that wait for an operator: those of rows, and those of Node, which have none.
    async fn failed(&self) -> Vec<String> {
        let mut ids = self.ended(End::Failed).await;
        let jobs: Vec<String> = self.world.redis.cmd("ZRANGE bull:email:failed 0 -1").await;
        ids.extend(jobs.into_iter().filter(|id| id.starts_with(node::ID_PREFIX)));
        ids
    }

    /// Where the APIs are.
    pub(crate) fn bases(&self) -> Vec<String> {
        self.apis.iter().map(|api| api.base.clone()).collect()
    }

    /// The job's ids of mails that ended so.
    async fn ended(&self, end: End) -> Vec<String> {
        let outcome = match end {
            End::Sent => "sent",
            End::Failed => "failed",
            End::Removed => "removed",
        };
        self.ids_where(&format!("outcome = '{outcome}'")).await
    }

    /// The job's ids of mails whose rows are so.
    async fn ids_where(&self, condition: &str) -> Vec<String> {
        let id = match self.world.database {
            Database::Sqlite(_) => "hex(id)",
            Database::Postgres(_) => "id::text",
        };
        let rows = self.rows(&format!("SELECT {id} FROM mail_outbox WHERE {condition}")).await;
        let ids = rows.iter().map(|id| id.parse::<Uuid>().expect("an id of the outbox"));
        ids.map(|id| format!("{}{id}", EmailJob::ID_PREFIX)).collect()
    }
}

fn judge(promises: &[Promise], log: &mut Log, verdict: &mut Verdict) {
    let mut checker = Checker::default();
    verdict.mails = promises.len();
    for promise in promises {
        let events = log.take(&promise.job_id, promise.at);
        let history: Vec<Seen> = events.iter().map(|(_, seen)| *seen).collect();
        let accepted: Vec<usize> = (0..history.len()).filter(|index| is_sent(history[*index])).collect();
        let told = |what: &str| format!("{} {what}: {history:?}", promise.job_id);
        let is_of_node = promise.job_id.starts_with(node::ID_PREFIX);
        let Some(first) = accepted.first() else {
            if is_of_node && log.may_have_lost(promise.at) {
                verdict.lost_with_redis += 1;
                continue;
            }
            verdict.lost.push(told("was never accepted"));
            continue;
        };
        if let Some(second) = accepted.get(1) {
            let is_flagged = history[..*second].iter().any(|seen| matches!(seen, Seen::Doubted | Seen::Requeued));
            if is_flagged {
                verdict.flagged += 1;
            } else if log.may_have_forgotten(events[*first].0, events[*second].0) {
                verdict.forgotten += 1;
            } else if history.contains(&Seen::SentByNode) {
                verdict.by_node += 1;
            } else {
                verdict.unflagged.push(told("was accepted twice"));
            }
        }
        if history.contains(&Seen::SentByNode) {
            verdict.sent_by_node += 1; // the model knows no Node worker
        } else if log.has_met_two(promise.at, &events) {
            verdict.with_two += 1;
        } else if let Some(index) = checker.unexplained(&history) {
            verdict.unexplained.push(told(&format!("cannot be explained from event {index} on")));
        }
        if is_of_node {
            verdict.added_by_node += 1; // which notes no time of the request
            continue;
        }
        verdict.recovered += usize::from(promise.requests > 1);
        let is_hit = promise.requests > 1
            || history.iter().any(|seen| matches!(seen, Seen::Doubted | Seen::Requeued))
            || history[..*first].contains(&Seen::PutBack);
        verdict.waits[usize::from(is_hit)].push(milliseconds(promise.at, events[*first].0));
    }
    verdict.unexpected = log.left().cloned().collect();
    verdict.kinds = checker.kinds();
    verdict.waits.iter_mut().for_each(|waits| waits.sort_unstable());
}

fn is_sent(seen: Seen) -> bool {
    matches!(seen, Seen::Accepted | Seen::SentByNode)
}

fn milliseconds(from: OffsetDateTime, to: OffsetDateTime) -> i64 {
    i64::try_from((to - from).whole_milliseconds()).unwrap_or(i64::MAX)
}

fn progress(plan: &Plan) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} kills, {msg}, {elapsed}, {eta} left");
    ProgressBar::new(plan.kills as u64).with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn two_hundred_kills_lose_no_mail() {
        let api = examhall_testkit::binary("api");
        let plan = Plan {
            programs: Programs(api.parent().expect("a folder").to_owned()),
            database: DatabaseKind::usual(),
            fsync: "always".to_owned(),
            seed: 20,
            kills: 200,
            mails: 1_000,
            rate: 30.0,
            losses: 0,
            often: None,
            node: false,
            clock: false,
            sentinel: false,
            settles_within: Duration::from_mins(10),
        };
        let verdict = run(&plan).await.expect("a run");
        println!("{verdict:?}");
        for (what, mails) in verdict.faults() {
            assert!(mails.is_empty(), "{what}: {mails:#?}");
        }
        assert!(verdict.kills() >= 200 && verdict.mails >= 1_000, "{} kills, {} mails", verdict.kills(), verdict.mails);
    }
}
