//! Searches jobs, and reads them without their data.

use std::fmt;

use examhall_redis::{Value as RedisValue, convert};
use serde::Serialize;

use super::{JobSummary, Queue, summary::Size};
use crate::{Error, JobId, State, client::text, script};

/// Number of jobs that one script looks at.
const STEP: u32 = 500;

/// Which jobs [`Queue::search`] finds; by default all of one state.
/// ```no_run
/// # use examhall_queue::{Error, JobSearch, Queue, SearchTerm, State};
/// # async fn run(queue: Queue<serde_json::Value>) -> Result<(), Error> {
/// let search = JobSearch::new(State::Failed).term(SearchTerm::reason("no such user")).pick("to");
/// let found = queue.search(&search, None, 50).await?;
/// for job in found.jobs {
///     println!("{}: {:?}", job.id, job.picked);
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct JobSearch {
    state: State,
    ask: Ask,
}

/// What the script takes.
#[derive(Clone, Debug, Default, Serialize)]
struct Ask {
    place: &'static str,
    from: String,
    skip: u32,
    wanted: u32,
    most: u32,
    pick: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    after: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    until: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    terms: Vec<SearchTerm>,
}

/// A condition on the data or the reason of a job.
/// ```
/// # use examhall_queue::SearchTerm;
/// let subject = SearchTerm::fields(["subject"], ["exam moved"]);
/// let anywhere = SearchTerm::fields(["to", "subject"], ["ada"]).or_reason();
/// let of_no_class = SearchTerm::fields(["class"], ["other"]).whole().or_absent();
/// ```
#[derive(Clone, Debug, Serialize)]
#[expect(clippy::struct_excessive_bools, reason = "options of the script, which do not depend on one another")]
pub struct SearchTerm {
    any: Vec<String>,
    fields: Vec<String>,
    whole: bool,
    reason: bool,
    absent: bool,
    plain: bool,
}

/// Where a search goes on.
/// ```
/// # use examhall_queue::SearchPosition;
/// let position: SearchPosition = "failed 1795424400000 3".parse()?;
/// assert_eq!(position.to_string(), "failed 1795424400000 3");
/// assert!("failed nowhere 3".parse::<SearchPosition>().is_err());
/// # Ok::<(), examhall_queue::BadSearchPosition>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SearchPosition {
    /// Key of the state: some states have two.
    place: &'static str,
    /// Score of the last job that was looked at; empty at the beginning, and for lists.
    from: String,
    /// Number of jobs to skip from there.
    skip: u32,
}

/// A text is not a [`SearchPosition`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position that a search gave")]
pub struct BadSearchPosition;

/// What one step of a search has found.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct FoundJobs {
    /// The jobs, newest first.
    pub jobs: Vec<JobSummary>,
    /// Where the next step begins; `None` after the last one. A step may find nothing, and not be the last one.
    pub next: Option<SearchPosition>,
    /// Number of jobs that were looked at.
    pub looked_at: u32,
    /// Number of jobs whose data was too large to be looked into, over 32 KiB.
    pub unread: u32,
}

impl JobSearch {
    /// All jobs of a state.
    pub fn new(state: State) -> Self {
        Self { state, ask: Ask { most: STEP, ..Ask::default() } }
    }

    /// Adds a condition.
    #[must_use]
    pub fn term(mut self, term: SearchTerm) -> Self {
        self.ask.terms.push(term);
        self
    }

    /// Only jobs whose reason begins with this.
    #[must_use]
    pub fn reason_starts_with(mut self, text: impl Into<String>) -> Self {
        self.ask.reason = Some(text.into());
        self
    }

    /// Only jobs that were added then or later, in ms since 1970.
    #[must_use]
    pub fn after(mut self, at: i64) -> Self {
        self.ask.after = Some(at);
        self
    }

    /// Only jobs that were added earlier, in ms since 1970.
    #[must_use]
    pub fn before(mut self, at: i64) -> Self {
        self.ask.before = Some(at);
        self
    }

    /// Only jobs that ended until then, or were added until then if they have not ended, in ms since 1970.
    #[must_use]
    pub fn until(mut self, at: i64) -> Self {
        self.ask.until = Some(at);
        self
    }

    /// Also reads a field of the data, into [`JobSummary::picked`].
    #[must_use]
    pub fn pick(mut self, field: impl Into<String>) -> Self {
        self.ask.pick.push(field.into());
        self
    }
}

impl SearchTerm {
    /// One of the fields of the data, or a value within it, must contain one of the texts, whatever the case of ASCII
    /// letters.
    pub fn fields<F: Into<String>, S: AsRef<str>>(
        fields: impl IntoIterator<Item = F>,
        any: impl IntoIterator<Item = S>,
    ) -> Self {
        let any: Vec<String> = any.into_iter().map(|text| text.as_ref().to_ascii_lowercase()).collect();
        // Some writers of JSON escape other characters.
        let is_plain =
            |text: &String| text.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\/<>&'".contains(&byte));
        let plain = any.iter().all(is_plain);
        let fields = fields.into_iter().map(Into::into).collect();
        Self { any, fields, whole: false, reason: false, absent: false, plain }
    }

    /// The reason must contain the text, whatever the case of ASCII letters.
    pub fn reason(text: impl AsRef<str>) -> Self {
        Self::fields::<String, _>([], [text]).or_reason()
    }

    /// The text must be the whole value.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// Or the reason contains it.
    #[must_use]
    pub fn or_reason(self) -> Self {
        Self { reason: true, ..self }
    }

    /// Or the data has none of the fields.
    #[must_use]
    pub fn or_absent(self) -> Self {
        Self { absent: true, ..self }
    }
}

impl fmt::Display for SearchPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.place, if self.from.is_empty() { "-" } else { &self.from }, self.skip)
    }
}

impl std::str::FromStr for SearchPosition {
    type Err = BadSearchPosition;

    fn from_str(text: &str) -> Result<Self, BadSearchPosition> {
        let mut parts = text.split(' ');
        let (Some(place), Some(from), Some(skip), None) = (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(BadSearchPosition);
        };
        let place = State::ALL.iter().flat_map(|state| state.places()).find(|known| **known == place);
        let is_score = from == "-" || from.parse::<f64>().is_ok_and(f64::is_finite);
        let from = if from == "-" { String::new() } else { from.to_owned() };
        match (place, skip.parse()) {
            (Some(place), Ok(skip)) if is_score => Ok(Self { place, from, skip }),
            _ => Err(BadSearchPosition),
        }
    }
}

impl<T> Queue<T> {
    /// Takes one step of a search: looks at up to 500 jobs after `from`, and returns up to `wanted` of them, newest first.
    /// Reads no data over 32 KiB, and about 512 KiB of data in all, so that Redis is free again after some ms. Jobs that
    /// change their state during a search may be found twice or not at all.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn search(
        &self,
        search: &JobSearch,
        from: Option<&SearchPosition>,
        wanted: u32,
    ) -> Result<FoundJobs, Error> {
        let places = search.state.places_newest_first();
        let place =
            from.and_then(|from| places.iter().copied().find(|place| *place == from.place)).or(places.first().copied());
        let Some(place) = place else { return Ok(FoundJobs::default()) };
        let (score, skip) = from.map_or((String::new(), 0), |from| (from.from.clone(), from.skip));
        let ask = Ask { place, from: score, skip, wanted: wanted.max(1), ..search.ask.clone() };
        let ask = serde_json::to_string(&ask).map_err(Error::payload)?;
        let (from, skip, has_more, looked_at, unread, jobs): (String, u32, bool, u32, u32, RedisValue) =
            self.eval(&script::SEARCH, vec![ask.into()]).await?;
        let next = if has_more {
            Some(SearchPosition { place, from, skip })
        } else {
            let after = places.iter().copied().skip_while(|one| *one != place).nth(1);
            after.map(|place| SearchPosition { place, from: String::new(), skip: 0 })
        };
        Ok(FoundJobs { jobs: summaries(jobs)?, next, looked_at, unread })
    }

    /// Reads jobs without their data, but for the fields `pick` of it; those that there are, in this order. A job that is in
    /// no state, after an eviction or a `DEL`, counts as waiting.
    ///
    /// # Errors
    /// Returns [`Error::Redis`] if Redis fails.
    pub async fn summaries(&self, ids: &[String], pick: &[&str]) -> Result<Vec<JobSummary>, Error> {
        let ids: Vec<&String> = ids.iter().filter(|id| JobId::new(*id).is_ok()).collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let pick = serde_json::to_string(pick).map_err(Error::payload)?;
        let args = std::iter::once(pick.into()).chain(ids.into_iter().map(Into::into)).collect();
        summaries(self.eval(&script::SUMMARIES, args).await?)
    }
}

fn summaries(jobs: RedisValue) -> Result<Vec<JobSummary>, Error> {
    let jobs = match jobs {
        RedisValue::Array(jobs) => jobs,
        RedisValue::Null => Vec::new(),
        _ => return Err(Error::UnexpectedAnswer("jobs are not a list")),
    };
    jobs.into_iter().map(summary).collect()
}

fn summary(job: RedisValue) -> Result<JobSummary, Error> {
    let RedisValue::Array(parts) = job else { return Err(Error::UnexpectedAnswer("a found job is not a list")) };
    let Ok([id, place, due, size, picked, RedisValue::Array(fields)]) = <[RedisValue; 6]>::try_from(parts) else {
        return Err(Error::UnexpectedAnswer("a found job does not have six parts"));
    };
    let place: String = convert(place)?;
    let state = State::from_place(&place).ok_or(Error::UnexpectedAnswer("a found job is in no state"))?;
    let size = Size { due: convert(due)?, data_bytes: convert(size)? };
    Ok(JobSummary::new(text(&id), state, fields, size, &text(&picked)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_are_read_as_they_are_written() {
        for text in ["failed 1795424400000 3", "paused - 0", "delayed 7.35e+15 1", "wait - 4294967295"] {
            assert_eq!(text.parse::<SearchPosition>().map(|position| position.to_string()), Ok(text.to_owned()));
        }
        for bad in
            ["", "failed", "meta - 0", "failed x 0", "failed inf 0", "failed 1 -1", "failed 1 2 3", "failed  1 2"]
        {
            assert_eq!(bad.parse::<SearchPosition>(), Err(BadSearchPosition), "{bad}");
        }
    }

    #[test]
    fn texts_that_json_may_escape_are_not_looked_for_in_it() {
        let is_plain = |text: &str| SearchTerm::fields(["to"], [text]).plain;
        assert!(is_plain("ada@x.example") && is_plain("Exam 7, part #2"));
        assert!(["a\"b", "ü", "a/b", "a\\b", "<b>", "a\nb"].into_iter().all(|text| !is_plain(text)));
    }
}
