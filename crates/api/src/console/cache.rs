//! `/console/cache`: how the cache of this process does, what it holds of an exam, and which exams open next.

use actix_web::{HttpResponse, web};
use askama::Template;
use examhall_cache::{Epoch, Location, Remaining, Stats, Status, Trust};
use examhall_core::{ExamId, with_commas};
use serde::Deserialize;

use super::{
    format::span,
    guard::Console,
    page::{Notice, NoticeKind, Page, answer, html},
};
use crate::{
    access::{Action, may},
    audit::Done,
    http::{authorized::Authorized, extract::Parameters, problem::Problem},
    operations::cache::{self, Answer, Entry, ExamEntries, Opening, Overview, Warmth},
    state::now,
};

#[derive(Template)]
#[template(path = "cache.html")]
struct CachePage<'a> {
    page: &'a Page,
    answer: Answer,
    figures: Vec<(&'static str, String)>,
    outcomes: Vec<(&'static str, String)>,
    is_live: bool,
    memory: String,
    servers: Vec<Server>,
    epochs: String,
    unconfirmed: usize,
    openings: Vec<Row>,
    /// The id that was asked for.
    wanted: String,
    complaint: Option<&'static str>,
    exam: Option<Exam>,
    may_invalidate: bool,
}

struct Server {
    name: String,
    kind: NoticeKind,
    trust: &'static str,
    is_circuit_open: bool,
}

/// An exam that opens next.
struct Row {
    link: String,
    title: String,
    opens: String,
    kind: &'static str,
    state: &'static str,
    /// When it will be loaded.
    due: String,
    remark: &'static str,
}

/// An exam whose keys are shown.
struct Exam {
    title: String,
    shown: String,
    count: usize,
    entries: Vec<(String, &'static str, String)>,
}

#[derive(Deserialize)]
pub(super) struct Wanted {
    #[serde(default)]
    exam: String,
}

pub(super) async fn show(
    console: Console<may::ReadCache>,
    Parameters(Wanted { exam: wanted }): Parameters<Wanted>,
) -> Result<HttpResponse, Problem> {
    let state = &console.state;
    let now = now();
    let Overview { stats, status } = cache::overview(&state.cache);
    let openings = cache::opening_next(state, now).await?;
    let wanted = wanted.trim().to_owned();
    let found = match wanted.parse::<ExamId>() {
        _ if wanted.is_empty() => Ok(None),
        Err(_) => Err("An exam's id looks like 018f4e3a-0000-7000-8000-000000000001."),
        Ok(id) => match cache::entries_of(state, id).await {
            Ok(entries) => Ok(Some(entries)),
            Err(examhall_store::Error::NotFound) => Err("There is no exam with this id."),
            Err(error) => return Err(error.into()),
        },
    };
    let page = console.page("Cache").live();
    html(
        &page,
        &CachePage {
            page: &page,
            answer: cache::answer(&status),
            figures: figures(&stats),
            outcomes: outcomes(&stats),
            is_live: status.is_live,
            memory: format!("{} entries, {} KB", with_commas(stats.entries), with_commas(stats.bytes.div_ceil(1024))),
            servers: servers(&status),
            epochs: epochs(status.epochs, status.last_epoch),
            unconfirmed: status.unconfirmed,
            openings: openings.into_iter().map(|opening| row(&page, opening)).collect(),
            wanted,
            complaint: found.as_ref().err().copied(),
            exam: found.ok().flatten().map(exam),
            may_invalidate: Action::InvalidateCache.is_allowed(console.account.role),
        },
    )
}

pub(super) async fn invalidate(
    Authorized(console, web::Form(Wanted { exam })): Authorized<Console<may::InvalidateCache>, web::Form<Wanted>>,
) -> Result<HttpResponse, Problem> {
    let id: ExamId = exam.parse().map_err(|_| Problem::bad_request("this is not the id of an exam"))?;
    let (keys, is_confirmed) = cache::invalidate(&console.state, id).await?;
    let keys = keys as u64;
    console.record(Done { filter: format!("exam:{id}"), ..Done::all(keys) }).await;
    let notice = if is_confirmed {
        Notice::new(NoticeKind::Good, format!("{keys} of {keys} keys are invalidated."))
    } else {
        let text = "This process has forgotten the keys. Redis has not confirmed it: it is tried again until it does.";
        Notice::new(NoticeKind::Warn, text)
    };
    Ok(answer(&format!("/console/cache?exam={id}"), &notice))
}

fn figures(stats: &Stats) -> Vec<(&'static str, String)> {
    vec![
        (
            "Hit rate",
            if stats.reads() == 0 { "none yet".to_owned() } else { format!("{:.1} %", stats.hit_ratio() * 100.0) },
        ),
        ("Reads", with_commas(stats.reads())),
        ("Loads", with_commas(stats.loads)),
        ("Failed loads", with_commas(stats.failed_loads)),
        ("Waiting readers", with_commas(stats.waiting)),
    ]
}

/// The outcomes of `cache_requests_total`, in the words of docs/caching.md.
fn outcomes(stats: &Stats) -> Vec<(&'static str, String)> {
    [
        ("Memory (l1)", stats.memory_hits),
        ("Redis (l2)", stats.redis_hits),
        ("Loaded from the database", stats.loaded),
        ("Joined another reader's load", stats.joined),
        ("Stale", stats.stale),
        ("Known not to exist (negative)", stats.negative_hits),
        ("Loaded without Redis (bypass)", stats.bypassed),
        ("Errors", stats.errors),
    ]
    .map(|(name, count)| (name, with_commas(count)))
    .into()
}

fn servers(status: &Status) -> Vec<Server> {
    let server = |server: &examhall_cache::ServerStatus| {
        let (kind, trust) = match server.trust {
            Trust::Trusted => (NoticeKind::Good, "trusted"),
            Trust::Unverified => (NoticeKind::Warn, "unverified"),
            Trust::Lost => (NoticeKind::Bad, "not trusted"),
        };
        let name = if server.name.is_empty() { "Redis".to_owned() } else { format!("Redis {}", server.name) };
        Server { name, kind, trust, is_circuit_open: server.is_circuit_open }
    };
    status.servers.iter().map(server).collect()
}

fn epochs(count: u64, last: Option<Epoch>) -> String {
    let Some(Epoch { cause, at }) = last else { return "none yet".to_owned() };
    let ago = u64::try_from(at.elapsed().as_millis()).unwrap_or(u64::MAX);
    format!("{}, the last {} ago: {cause}", with_commas(count), span(ago))
}

fn row(page: &Page, Opening { exam, warmth }: Opening) -> Row {
    let (kind, state, remark) = match warmth {
        Warmth::Warm => ("good", "warm", "exam and questions are in Redis until after it opens"),
        Warmth::Due(_) => ("info", "will be loaded", ""),
        Warmth::Cold => ("bad", "cold", "it should be loaded by now: look at Redis and the database"),
        Warmth::Never => ("", "not warmed", "an exam without an end is loaded by its first reader"),
        Warmth::Unknown => ("warn", "unknown", "Redis is not read"),
    };
    Row {
        link: format!("/console/cache?exam={}", exam.id),
        opens: exam.opens_at.map(|at| page.time(at)).unwrap_or_default(),
        title: exam.title,
        kind,
        state,
        due: if let Warmth::Due(at) = warmth { page.time(at) } else { String::new() },
        remark,
    }
}

fn exam(ExamEntries { exam, entries, count }: ExamEntries) -> Exam {
    let shown = if entries.len() < count {
        format!("The first {} of {count} keys", entries.len())
    } else {
        format!("{count} keys")
    };
    Exam { title: exam.title, shown, count, entries: entries.into_iter().map(entry).collect() }
}

fn entry(Entry { key, location }: Entry) -> (String, &'static str, String) {
    let Some(Location { in_memory, in_redis, .. }) = location else {
        return (key, "unknown", "Redis is not read".to_owned());
    };
    let in_redis = match in_redis {
        None => "no".to_owned(),
        Some(Remaining::For(left)) => format!("for {}", span(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))),
        Some(Remaining::Endless) => "without an end".to_owned(),
    };
    (key, if in_memory { "yes" } else { "no" }, in_redis)
}
