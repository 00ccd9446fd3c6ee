//! Exams, and who sits and sets them: rules, grading, passwords, accounts, and their cache keys.

mod attempt;
mod cache_name;
mod change;
mod exam;
mod folding;
mod grading;
mod id;
mod locale;
mod number;
mod order;
mod password;
mod patch;
mod person_name;
mod question;
mod question_rules;
mod result;
mod statistics;
mod user;

pub use attempt::{Answer, AnswerValue, Attempt};
pub use cache_name::{CacheName, KEY_SPACES};
pub use change::Change;
pub use exam::{BadExamStatus, Exam, ExamAccess, ExamStatus, Visibility};
pub use grading::{AnswerKey, Grade, Mark, Ungraded, WhyUngraded};
pub use id::{AttemptId, ExamId, QuestionId, ResultId, UserId};
pub use locale::{BadLocale, Locale};
pub use order::{OrderedQuestion, shuffled};
pub use password::{BadPassword, check_password, prepared_password};
pub use patch::Patch;
pub use person_name::{BadName, check_name};
pub use question::{Choice, Question, QuestionKind, QuestionSheet, StudentChoice, StudentKind, StudentQuestion};
pub use question_rules::{Fault, MAX_QUESTIONS};
pub use result::{ExamResult, ResultAccess};
pub use statistics::{QuestionStatistics, Statistics, StatisticsBuilder};
pub use user::{BadRole, Profile, Role, Viewer};
