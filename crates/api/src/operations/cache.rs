//! The cache as operators see it: how it does in this process, what it holds of an exam, and which exams open next.

use std::time::Duration;

use examhall_cache::{Cache, Location, Remaining, Stats, Status, Trust};
use examhall_core::{CacheName, Exam, ExamAccess, ExamId, Timestamp};
use examhall_store::Error;
use futures_util::future::join_all;

use crate::{
    cache_keys::{ExamKey, QuestionKey, QuestionSheetKey},
    state::State,
    upkeep,
};

/// Exams that open next, at most.
const OPENING: u64 = 20;
/// Keys of an exam that are looked up, at most: the exam, its sheet, and its first questions.
const LOCATED: usize = 50;

/// How the cache of this process does.
pub(crate) struct Overview {
    pub(crate) stats: Stats,
    pub(crate) status: Status,
}

/// An exam that opens next.
pub(crate) struct Opening {
    pub(crate) exam: Exam,
    pub(crate) warmth: Warmth,
}

/// Whether an exam that is about to open is in Redis, so that its first readers do not meet the database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Warmth {
    /// Exam and sheet are in Redis, until after it opens.
    Warm,
    /// They are loaded from then on.
    Due(Timestamp),
    /// They should be there, and are not.
    Cold,
    /// They are not loaded before the first reader asks, since the exam has no end.
    Never,
    /// Redis is not read now.
    Unknown,
}

/// What is cached of an exam.
pub(crate) struct ExamEntries {
    pub(crate) exam: Exam,
    pub(crate) entries: Vec<Entry>,
    /// All of its keys, of which `entries` are the first.
    pub(crate) count: usize,
}

/// Where a key is cached; no location where Redis is not read now.
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) location: Option<Location>,
}

/// How the cache does, in a sentence, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    /// `good`, `warn` or `bad`.
    pub(crate) kind: &'static str,
    pub(crate) sentence: &'static str,
    pub(crate) advice: &'static str,
}

/// What decides the answer.
#[derive(Clone, Copy, Debug)]
struct Facts {
    is_circuit_open: bool,
    /// That of the worst server.
    trust: Option<Trust>,
    has_unconfirmed: bool,
    is_live: bool,
}

/// Says how the cache does.
pub(crate) fn answer(status: &Status) -> Answer {
    answer_of(Facts {
        is_circuit_open: status.servers.iter().any(|server| server.is_circuit_open),
        trust: status.servers.iter().map(|server| server.trust).min(),
        has_unconfirmed: status.unconfirmed > 0,
        is_live: status.is_live,
    })
}

fn answer_of(facts: Facts) -> Answer {
    let answer = |kind, sentence, advice| Answer { kind, sentence, advice };
    match facts.trust {
        _ if facts.is_circuit_open => answer("bad", "Redis is not read: it does not answer.", ALONE),
        None => answer("bad", "Redis is not read: no server is known.", ALONE),
        Some(Trust::Lost) => answer("bad", "Redis is not read: it is not connected, or refuses writes.", ALONE),
        Some(Trust::Unverified) => answer(
            "warn",
            "Values in Redis are stale at best: the journal of changes cannot be read.",
            "Look at the database: the journal is a table of it, and is read again each second.",
        ),
        Some(Trust::Trusted) if facts.has_unconfirmed => answer(
            "warn",
            "Redis has not confirmed all changes.",
            "They are tried again; until then their keys are loaded from the database. If it lasts, look at Redis.",
        ),
        Some(Trust::Trusted) if !facts.is_live => answer(
            "warn",
            "Memory does not answer: its link to Redis is not proven.",
            "Values come from Redis meanwhile. If it lasts for more than seconds, look at Redis and the network.",
        ),
        Some(Trust::Trusted) => answer("good", "The cache works: memory and Redis answer.", "There is nothing to do."),
    }
}

/// What it means that Redis is not read.
const ALONE: &str = "Each process loads for itself, and the database has more to do. Look at Redis; once it answers, it is \
                     used again without your help.";

/// Returns how the cache of this process does.
pub(crate) fn overview(cache: &Cache) -> Overview {
    Overview { stats: cache.stats(), status: cache.status() }
}

/// Returns the exams that open next, soonest first.
pub(crate) async fn opening_next(state: &State, now: Timestamp) -> Result<Vec<Opening>, Error> {
    let exams = state.store.exams.opening_next(OPENING, now).await?;
    let openings = exams.into_iter().map(async |exam| {
        let (exam_key, sheet_key) = (ExamKey(exam.id), QuestionSheetKey(exam.id));
        let (one, other) = tokio::join!(state.cache.locate(&exam_key), state.cache.locate(&sheet_key));
        let remaining = one.ok().zip(other.ok()).map(|(one, other)| [one.in_redis, other.in_redis]);
        Opening { warmth: warmth(&exam.access(), exam.id, remaining, now), exam }
    });
    Ok(join_all(openings).await)
}

/// Returns what is cached of an exam.
///
/// # Errors
/// Returns [`Error::NotFound`] if there is no such exam.
pub(crate) async fn entries_of(state: &State, id: ExamId) -> Result<ExamEntries, Error> {
    let exam = state.store.exams.get(id).await?.value;
    let questions = state.store.questions.ids(id).await?;
    let count = questions.len() + 2;
    let cache = &state.cache;
    let entry = |name: CacheName, location: Result<Location, examhall_cache::Error>| Entry {
        key: name.to_string(),
        location: location.ok(),
    };
    let mut entries = vec![
        entry(CacheName::Exam(id), cache.locate(&ExamKey(id)).await),
        entry(CacheName::QuestionSheet(id), cache.locate(&QuestionSheetKey(id)).await),
    ];
    let rest = questions.into_iter().take(LOCATED - entries.len());
    let rest = rest.map(async |id| entry(CacheName::Question(id), cache.locate(&QuestionKey(id)).await));
    entries.extend(join_all(rest).await);
    Ok(ExamEntries { exam, entries, count })
}

/// Removes what is cached of an exam in all processes; one that is open, or about to, is loaded again at once. Returns
/// the number of keys, and whether Redis has confirmed it: else it is tried again in the background.
///
/// # Errors
/// Returns an error if the database does not say which questions it has.
pub(crate) async fn invalidate(state: &State, id: ExamId) -> Result<(usize, bool), Error> {
    state.store.exams.get(id).await?;
    let questions: Vec<_> = state.store.questions.ids(id).await?.into_iter().map(QuestionKey).collect();
    let (exam, sheet) = (ExamKey(id), QuestionSheetKey(id));
    let (one, two, three) =
        tokio::join!(state.cache.delete(&exam), state.cache.delete(&sheet), state.cache.delete_many(&questions),);
    let is_confirmed = one.and(two).and(three).is_ok();
    tokio::spawn(upkeep::warm(state.store.clone(), state.cache.clone(), id));
    tracing::info!(exam_id = %id, keys = questions.len() + 2, is_confirmed, "Exam removed from the cache");
    Ok((questions.len() + 2, is_confirmed))
}

/// Decides how warm an exam is, from how long its two entries stay in Redis.
fn warmth(access: &ExamAccess, id: ExamId, entries: Option<[Option<Remaining>; 2]>, now: Timestamp) -> Warmth {
    let Some(opens_at) = access.opens_at.filter(|_| access.closes_at.is_some()) else { return Warmth::Never };
    let left = Duration::from_millis(opens_at.as_millis().saturating_sub(now.as_millis()).max(0).unsigned_abs());
    let due = upkeep::warms_at(id, opens_at);
    match entries {
        None => Warmth::Unknown,
        Some(entries) if entries.iter().all(|entry| entry.is_some_and(|entry| entry.exceeds(left))) => Warmth::Warm,
        Some(_) if now < due => Warmth::Due(due),
        Some(_) => Warmth::Cold,
    }
}

#[cfg(test)]
mod tests {
    use examhall_core::{Admission, ExamStatus, PaperPolicy, ResultPolicy, UserId};
    use uuid::Uuid;

    use super::*;

    #[test]
    fn each_state_has_its_answer() {
        let good = Facts { is_circuit_open: false, trust: Some(Trust::Trusted), has_unconfirmed: false, is_live: true };
        for (facts, kind, word) in [
            (good, "good", "works"),
            (Facts { is_live: false, ..good }, "warn", "Memory does not answer"),
            (Facts { has_unconfirmed: true, is_live: false, ..good }, "warn", "not confirmed"),
            (Facts { trust: Some(Trust::Unverified), has_unconfirmed: true, ..good }, "warn", "stale at best"),
            (Facts { trust: Some(Trust::Lost), is_live: false, ..good }, "bad", "not connected"),
            (Facts { trust: None, ..good }, "bad", "no server is known"),
            (Facts { is_circuit_open: true, trust: Some(Trust::Lost), ..good }, "bad", "does not answer"),
        ] {
            let answer = answer_of(facts);
            assert!(answer.kind == kind && answer.sentence.contains(word), "{facts:?}: {answer:?}");
        }
    }

    #[test]
    fn warmth_follows_the_two_entries_and_the_time() {
        let at = |seconds: i64| Timestamp::from_millis(seconds * 1000);
        let access = |closes_at| ExamAccess {
            author_id: UserId(Uuid::nil()),
            status: ExamStatus::Published,
            opens_at: Some(at(1000)),
            closes_at,
            paper: PaperPolicy::AfterStart,
            results: ResultPolicy::OnSubmit,
            show_marks: false,
            review: false,
            access: Admission::Open,
            results_published_at: None,
        };
        let (window, id) = (access(Some(at(5000))), ExamId(Uuid::nil()));
        let stays = |seconds| Some(Remaining::For(Duration::from_secs(seconds)));
        let due = at(940); // the spread of this exam is 0
        for (entries, now, expected) in [
            (Some([stays(500), stays(501)]), 900, Warmth::Warm),
            (Some([stays(500), Some(Remaining::Endless)]), 900, Warmth::Warm),
            (Some([stays(500), stays(99)]), 900, Warmth::Due(due)),
            (Some([None, stays(500)]), 939, Warmth::Due(due)),
            (Some([None, stays(500)]), 940, Warmth::Cold),
            (None, 900, Warmth::Unknown),
        ] {
            assert_eq!(warmth(&window, id, entries, at(now)), expected, "{entries:?} at {now}");
        }
        assert_eq!(warmth(&access(None), id, Some([None; 2]), at(990)), Warmth::Never);
    }
}
