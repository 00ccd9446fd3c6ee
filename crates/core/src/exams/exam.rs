//! An exam, and when it is open.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{ExamId, Role, Timestamp, UserId, Viewer};

/// How far an exam has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum ExamStatus {
    /// Seen by its author and admins only.
    Draft,
    /// Can be sat within its window.
    Published,
    /// Over.
    Closed,
}

impl ExamStatus {
    /// The word used in tables and JSON.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Published => "published",
            Self::Closed => "closed",
        }
    }
}

/// The text names no state of an exam.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an exam status: give draft, published or closed")]
pub struct BadExamStatus;

impl std::str::FromStr for ExamStatus {
    type Err = BadExamStatus;

    fn from_str(word: &str) -> Result<Self, BadExamStatus> {
        [Self::Draft, Self::Published, Self::Closed]
            .into_iter()
            .find(|status| status.as_str() == word)
            .ok_or(BadExamStatus)
    }
}

/// An exam without its questions, as the API shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Exam {
    /// The exam.
    pub id: ExamId,
    /// Whose it is.
    pub author_id: UserId,
    /// Title.
    #[cfg_attr(feature = "schema", schemars(length(min = 1, max = Self::MAX_TITLE)))]
    pub title: String,
    /// What it is about.
    #[cfg_attr(feature = "schema", schemars(length(max = Self::MAX_DESCRIPTION)))]
    pub description: String,
    /// Time that a student has, in minutes.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = Self::MAX_MINUTES)))]
    pub duration_minutes: u32,
    /// How often a student may sit it.
    #[cfg_attr(feature = "schema", schemars(range(min = 1, max = Self::MAX_ATTEMPTS)))]
    pub max_attempts: u32,
    /// Percentage of the points from which it is passed.
    #[cfg_attr(feature = "schema", schemars(range(max = Self::MAX_PASS_MARK)))]
    pub pass_mark: u8,
    /// From then on students may start; at any time where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    /// From then on nobody may start; never where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
    /// Whether each attempt has an order of its own.
    pub shuffle: bool,
    /// How far it has come.
    pub status: ExamStatus,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl Exam {
    /// Longest title, in characters.
    pub const MAX_TITLE: usize = 200;
    /// Longest description, in characters.
    pub const MAX_DESCRIPTION: usize = 10_000;
    /// Longest duration, in minutes: a week.
    pub const MAX_MINUTES: u32 = 7 * 24 * 60;
    /// Highest number of attempts that a student may have.
    pub const MAX_ATTEMPTS: u32 = 100;
    /// Highest pass mark, in percent.
    pub const MAX_PASS_MARK: u8 = 100;

    /// Who may see it.
    pub fn access(&self) -> ExamAccess {
        ExamAccess {
            author_id: self.author_id,
            status: self.status,
            opens_at: self.opens_at,
            closes_at: self.closes_at,
        }
    }
}

/// What decides who may see an exam and its questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ExamAccess {
    /// Whose exam it is.
    pub author_id: UserId,
    /// How far it has come.
    pub status: ExamStatus,
    /// From then on students may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub opens_at: Option<Timestamp>,
    /// From then on nobody may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closes_at: Option<Timestamp>,
}

/// Whether somebody may see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Yes.
    Allowed,
    /// Not now: the exam is not open.
    NotOpen,
    /// Not even that it exists.
    Hidden,
}

impl ExamAccess {
    /// Whether students may read the sheet and start: it is published and `now` is in [opensAt, closesAt).
    pub fn is_open(&self, now: Timestamp) -> bool {
        self.status == ExamStatus::Published
            && self.opens_at.is_none_or(|opens_at| opens_at <= now)
            && self.closes_at.is_none_or(|closes_at| now < closes_at)
    }

    /// Whether `viewer` may change the exam, and see it whatever its state: its author and admins.
    pub fn is_owned_by(&self, viewer: Viewer) -> bool {
        viewer.role == Role::Admin || viewer.id == self.author_id
    }

    /// How long what is cached of this exam stays, whatever else its life is: from shortly before it opens until ten
    /// minutes after it closes, so that it is not loaded again under ten thousand readers. An exam without a window is
    /// not pinned, and none for longer than a day.
    pub fn pinned_for(&self, now: Timestamp) -> Option<Duration> {
        let (from, until) = (self.opens_at?.minus(Self::WARM_BEFORE), self.closes_at?.plus(Self::PINNED_AFTER));
        let left = until.as_millis().saturating_sub(now.as_millis());
        let is_pinned = self.status == ExamStatus::Published && from <= now && left > 0;
        is_pinned.then(|| Duration::from_millis(left.unsigned_abs()).min(Duration::from_hours(24)))
    }

    /// How long before `opens_at` an exam's keys are loaded into the cache, at the earliest.
    pub const WARM_BEFORE: Duration = Duration::from_mins(1);

    /// How long after `closes_at` they stay.
    pub const PINNED_AFTER: Duration = Duration::from_mins(10);

    /// Whether `viewer` may read the question sheet: its owners always, everybody else while it is open.
    pub fn sheet_for(&self, viewer: Viewer, now: Timestamp) -> Visibility {
        if self.is_owned_by(viewer) || self.is_open(now) {
            Visibility::Allowed
        } else if self.status == ExamStatus::Draft {
            Visibility::Hidden
        } else {
            Visibility::NotOpen
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn access(status: ExamStatus, opens_at: Option<i64>, closes_at: Option<i64>) -> ExamAccess {
        ExamAccess {
            author_id: UserId(uuid::Uuid::nil()),
            status,
            opens_at: opens_at.map(Timestamp::from_millis),
            closes_at: closes_at.map(Timestamp::from_millis),
        }
    }

    fn open_at(access: ExamAccess, now: i64) -> bool {
        access.is_open(Timestamp::from_millis(now))
    }

    #[test]
    fn the_window_holds_its_first_moment_and_not_its_last() {
        let exam = access(ExamStatus::Published, Some(100), Some(200));
        assert_eq!([99, 100, 199, 200].map(|now| open_at(exam, now)), [false, true, true, false]);
    }

    #[test]
    fn an_absent_bound_does_not_bind() {
        assert!(open_at(access(ExamStatus::Published, None, None), i64::MIN));
        assert!(open_at(access(ExamStatus::Published, Some(0), None), i64::MAX));
    }

    #[test]
    fn an_exam_is_pinned_around_its_window() {
        let (minute, exam) = (60_000, access(ExamStatus::Published, Some(600_000), Some(1_200_000)));
        let pinned = |now| exam.pinned_for(Timestamp::from_millis(now)).map(|span| span.as_secs() / 60);
        assert_eq!([8, 9, 10, 29, 30].map(|n| pinned(n * minute)), [None, Some(21), Some(20), Some(1), None]);
        let endless = access(ExamStatus::Published, Some(0), Some(i64::MAX));
        assert_eq!(endless.pinned_for(Timestamp::from_millis(0)), Some(Duration::from_hours(24)));
        assert_eq!(access(ExamStatus::Published, Some(0), None).pinned_for(Timestamp::from_millis(0)), None);
        assert_eq!(access(ExamStatus::Draft, Some(0), Some(9)).pinned_for(Timestamp::from_millis(0)), None);
    }

    #[test]
    fn only_a_published_exam_opens() {
        assert!(!open_at(access(ExamStatus::Draft, None, None), 0));
        assert!(!open_at(access(ExamStatus::Closed, None, None), 0));
    }

    #[test]
    fn a_sheet_is_visible_to_owners_or_while_open() {
        let viewer = |id, role| Viewer { id: UserId(uuid::Uuid::from_u128(id)), role };
        let (author, admin) = (viewer(0, Role::Author), viewer(1, Role::Admin));
        let (student, other_author) = (viewer(2, Role::Student), viewer(3, Role::Author));
        let now = Timestamp::from_millis(0);
        for (status, for_others) in [
            (ExamStatus::Draft, Visibility::Hidden),
            (ExamStatus::Published, Visibility::Allowed),
            (ExamStatus::Closed, Visibility::NotOpen),
        ] {
            let exam = access(status, None, None);
            assert_eq!([author, admin].map(|viewer| exam.sheet_for(viewer, now)), [Visibility::Allowed; 2]);
            assert_eq!([student, other_author].map(|viewer| exam.sheet_for(viewer, now)), [for_others; 2]);
        }
    }
}
