//! `docs/proof.md`, written by the run.

use std::fmt::Write;

use examhall_core::with_commas;

use crate::{
    model::{Rule, Rules, State, search::search},
    run::{Plan, Verdict},
};

/// Faults and operations that one mail may meet in the search.
const FAULTS: u8 = 2;
const OPERATIONS: u8 = 1;

/// What the searches of the model find, for the page.
pub(crate) fn searched() -> String {
    let first = State::committed(FAULTS, OPERATIONS);
    let whole = search(first, Rules::default());
    let verdict = whole.counterexample.map_or("none breaks a promise".to_owned(), |found| format!("{found:#?}"));
    let mut out = format!(
        "One mail with {FAULTS} faults and {OPERATIONS} act of an operator: {} states, {} steps, {verdict}.\n\n\
         | without this rule | this happens, at the earliest after |\n|---|---|\n",
        number(whole.states),
        number(whole.steps)
    );
    for rule in Rule::ALL {
        let found = search(first, Rules { off: Some(rule) }).counterexample;
        let broken =
            found.map_or("nothing".to_owned(), |found| format!("{}: {} steps", found.promise, found.steps.len()));
        let _ = writeln!(out, "| {} | {broken} |", rule.text());
    }
    out
}

/// The page.
pub(crate) fn page(plan: &Plan, verdict: &Verdict, commit: &str, date: &str) -> String {
    let mut page = String::new();
    let out = &mut page;
    let seconds = verdict.took.as_secs();
    let _ = writeln!(
        out,
        "| | |\n|---|---|\n| commit, date | `{commit}`, {date} |\n| seed | {} |\n| machine | {} |\n| servers | {}, Redis with \
         `appendfsync {}`, 2 `api`, 2 mailers |\n| time | {} min {} s |",
        plan.seed,
        machine(),
        match plan.database {
            examhall_testkit::DatabaseKind::Sqlite => "SQLite",
            examhall_testkit::DatabaseKind::Postgres => "PostgreSQL",
        },
        plan.fsync,
        seconds / 60,
        seconds % 60
    );
    let _ =
        writeln!(out, "| **mails** | **{}** |\n| **kills** | **{}** |", number(verdict.mails), number(verdict.kills()));
    let counts = [
        ("**lost**", verdict.lost.len()),
        ("unexpected", verdict.unexpected.len()),
        ("sent twice, flagged before", verdict.flagged),
        ("sent twice, since Redis lacked the first time: put back, or failed over", verdict.forgotten),
        ("**sent twice, not flagged**", verdict.unflagged.len()),
        ("promised only when asked again, and sent", verdict.recovered),
        ("left to an operator who has them tried again, and sent then", verdict.retried),
        ("**histories that the model does not explain**", verdict.unexplained.len()),
        ("different histories", verdict.kinds),
    ];
    let of_node = [
        ("added by Node, and sent", verdict.added_by_node),
        ("added by Node, and lost with Redis, which alone knew of them", verdict.lost_with_redis),
        ("sent by a Node worker (the model knows none)", verdict.sent_by_node),
        ("sent twice, at least once by a Node worker, which keeps no ledger", verdict.by_node),
    ];
    let with_two = ("in flight while there were two masters (the model knows one)", verdict.with_two);
    let further = of_node.into_iter().filter(|_| plan.node).chain(plan.sentinel.then_some(with_two));
    for (what, count) in counts.into_iter().chain(further) {
        let _ = writeln!(out, "| {what} | {} |", number(count));
    }
    for (what, waits) in
        ["nothing befell it", "it was hit (in doubt, queued again, asked for again, or Redis put back)"]
            .iter()
            .zip(&verdict.waits)
    {
        let [p50, p99, most] = [50, 99, 100].map(|percent| percentile(waits, percent));
        let _ = writeln!(
            out,
            "| request to acceptance where {what}: {} mails | p50 {p50} ms, p99 {p99} ms, at most {most} ms |",
            number(waits.len())
        );
    }
    let _ = writeln!(out, "\n| what was done | times |\n|---|---|");
    for (blow, count) in &verdict.blows {
        let _ = writeln!(out, "| {} | {} |", blow.name(), number(*count));
    }
    page
}

fn percentile(sorted: &[i64], percent: usize) -> i64 {
    sorted.get((sorted.len() * percent / 100).min(sorted.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// A count, with commas.
pub(crate) fn number(count: usize) -> String {
    with_commas(count as u64)
}

/// What a machine this is.
pub(crate) fn machine() -> String {
    let cores = std::thread::available_parallelism().map_or(0, std::num::NonZero::get);
    let info = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    format!("{cores} cores, {}", model.trim_start_matches([' ', '\t', ':']))
}
