//! An exam, and when it is open.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::policy::{Admission, PaperPolicy, ResultPolicy};
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
    /// When students may read the questions.
    pub paper: PaperPolicy,
    /// When students see their results.
    pub results: ResultPolicy,
    /// Whether students see the points of each question with their result.
    pub show_marks: bool,
    /// Whether students may read the questions again once they see their result.
    pub review: bool,
    /// Which students may sit it.
    pub access: Admission,
    /// When its results were last published: those that were graded by then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_published_at: Option<Timestamp>,
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

    /// Whether a window is one: it closes after it opens, where it has both bounds.
    pub fn is_window(opens_at: Option<Timestamp>, closes_at: Option<Timestamp>) -> bool {
        opens_at.zip(closes_at).is_none_or(|(opens_at, closes_at)| closes_at > opens_at)
    }

    /// Who may see it.
    pub fn access(&self) -> ExamAccess {
        ExamAccess {
            author_id: self.author_id,
            status: self.status,
            opens_at: self.opens_at,
            closes_at: self.closes_at,
            paper: self.paper,
            results: self.results,
            show_marks: self.show_marks,
            review: self.review,
            access: self.access,
            results_published_at: self.results_published_at,
        }
    }

    /// Until when an invitation to it is good that is sent now: until it closes, if that is within 90 days, and for 30 days
    /// where it does not close.
    pub fn invitation_until(&self, now: Timestamp) -> Timestamp {
        let [usual, longest] = [30, 90].map(|days| now.plus(Duration::from_hours(24 * days)));
        self.closes_at.map_or(usual, |closes_at| closes_at.min(longest))
    }

    /// Time that a student has, in ms.
    pub const fn duration_ms(&self) -> i64 {
        self.duration_minutes as i64 * 60_000
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
    /// When students may read the questions.
    pub paper: PaperPolicy,
    /// When students see their results.
    pub results: ResultPolicy,
    /// Whether students see the points of each question with their result.
    pub show_marks: bool,
    /// Whether students may read the questions again once they see their result.
    pub review: bool,
    /// Which students may sit it.
    pub access: Admission,
    /// When its results were last published.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub results_published_at: Option<Timestamp>,
}

/// Whether somebody may see something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visibility {
    /// Yes.
    Allowed,
    /// Only with an attempt of theirs.
    WithAttempt,
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

    /// Whether `viewer` may read the question sheet: its owners always; students that sit it, whatever its state; everybody
    /// while it is open, if its author says so and every student may sit it.
    pub fn sheet_for(&self, viewer: Viewer, now: Timestamp) -> Visibility {
        let is_shown_to_all = self.paper == PaperPolicy::WhileOpen && self.access == Admission::Open;
        if self.is_owned_by(viewer) || (is_shown_to_all && self.is_open(now)) {
            Visibility::Allowed
        } else if self.status == ExamStatus::Draft {
            Visibility::Hidden
        } else {
            Visibility::WithAttempt
        }
    }

    /// Whether students see, `now`, a result that was graded then.
    pub fn shows_result(&self, graded_at: Timestamp, now: Timestamp) -> bool {
        let is_published = self.results_published_at.is_some_and(|published_at| graded_at <= published_at);
        let is_over = self.status == ExamStatus::Closed || self.closes_at.is_some_and(|closes_at| closes_at <= now);
        match self.results {
            ResultPolicy::OnSubmit => true,
            ResultPolicy::OnClose => is_published || is_over,
            ResultPolicy::OnPublish => is_published,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A published exam of 90 minutes, without a window.
    pub(in super::super) fn exam() -> Exam {
        let moment = Timestamp::from_millis(0);
        Exam {
            id: ExamId(uuid::Uuid::nil()),
            author_id: UserId(uuid::Uuid::nil()),
            title: String::new(),
            description: String::new(),
            duration_minutes: 90,
            max_attempts: 1,
            pass_mark: 50,
            opens_at: None,
            closes_at: None,
            shuffle: false,
            paper: PaperPolicy::WhileOpen,
            results: ResultPolicy::OnSubmit,
            show_marks: false,
            review: false,
            access: Admission::Open,
            results_published_at: None,
            status: ExamStatus::Published,
            created_at: moment,
            updated_at: moment,
        }
    }

    #[test]
    fn invitations_end_with_the_exam_or_after_days() {
        let (now, day) = (Timestamp::from_millis(1_000_000), Duration::from_hours(24));
        for (closes_at, until) in [
            (None, now.plus(day * 30)),
            (Some(now.plus(day)), now.plus(day)),
            (Some(now.plus(day * 60)), now.plus(day * 60)),
            (Some(now.plus(day * 91)), now.plus(day * 90)),
        ] {
            assert_eq!(Exam { closes_at, ..exam() }.invitation_until(now), until);
        }
    }

    fn access(status: ExamStatus, opens_at: Option<i64>, closes_at: Option<i64>) -> ExamAccess {
        let [opens_at, closes_at] = [opens_at, closes_at].map(|moment| moment.map(Timestamp::from_millis));
        Exam { opens_at, closes_at, status, ..exam() }.access()
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

    fn viewer(id: u128, role: Role) -> Viewer {
        Viewer { id: UserId(uuid::Uuid::from_u128(id)), role }
    }

    #[test]
    fn a_sheet_is_visible_to_owners_and_to_others_by_policy() {
        use Visibility::{Allowed, Hidden, WithAttempt};
        let (author, admin) = (viewer(0, Role::Author), viewer(1, Role::Admin));
        let (student, other_author) = (viewer(2, Role::Student), viewer(3, Role::Author));
        let now = Timestamp::from_millis(0);
        for (status, after_start, while_open) in [
            (ExamStatus::Draft, Hidden, Hidden),
            (ExamStatus::Published, WithAttempt, Allowed),
            (ExamStatus::Closed, WithAttempt, WithAttempt),
        ] {
            for (paper, for_others) in [(PaperPolicy::AfterStart, after_start), (PaperPolicy::WhileOpen, while_open)] {
                let exam = ExamAccess { paper, ..access(status, None, None) };
                assert_eq!([author, admin].map(|viewer| exam.sheet_for(viewer, now)), [Allowed; 2]);
                assert_eq!([student, other_author].map(|viewer| exam.sheet_for(viewer, now)), [for_others; 2]);
            }
        }
        let over = access(ExamStatus::Published, None, Some(0));
        assert_eq!(over.sheet_for(student, now), WithAttempt, "its window is over");
    }

    #[test]
    fn a_result_is_shown_as_its_exam_says() {
        use ResultPolicy::{OnClose, OnPublish, OnSubmit};
        let moment = Timestamp::from_millis;
        // Graded at 50: status, end, publication, and whether it is shown at 60 by each policy.
        for (status, closes_at, published, shown) in [
            (ExamStatus::Published, None, None, [true, false, false]),
            (ExamStatus::Published, Some(61), None, [true, false, false]),
            (ExamStatus::Published, Some(60), None, [true, true, false]),
            (ExamStatus::Closed, None, None, [true, true, false]),
            (ExamStatus::Published, None, Some(49), [true, false, false]),
            (ExamStatus::Published, None, Some(50), [true, true, true]),
        ] {
            let found = [OnSubmit, OnClose, OnPublish].map(|results| {
                let results_published_at = published.map(moment);
                let exam = ExamAccess { results, results_published_at, ..access(status, None, closes_at) };
                exam.shows_result(moment(50), moment(60))
            });
            assert_eq!(found, shown, "{status:?} {closes_at:?} {published:?}");
        }
    }
}
