//! What mails say: which there are, what each of them tells, how urgent it is, and how long its link works.

use std::time::Duration;

use examhall_core::{ExamResult, Priority, Timestamp, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    auth::SecretToken,
    templates::{InvitationVariables, ResultVariables},
};

/// How long the link of a verification mail works.
pub(crate) const VERIFICATION_LIFE: Duration = Duration::from_hours(24);
/// How long the link of a reset mail works.
pub(crate) const RESET_LIFE: Duration = Duration::from_hours(1);
/// How long the link of an invitation works: as long as an account that nobody has proven is kept.
pub(crate) const INVITATION_LIFE: Duration = Duration::from_hours(7 * 24);
/// How long the link of a mail to a former address works.
pub(crate) const EMAIL_UNDO_LIFE: Duration = Duration::from_hours(7 * 24);
/// The template of mails that the database itself puts into the outbox.
pub(crate) const RESULT_PUBLISHED: &str = "result-published";
/// The template of mails about results that were graded again.
pub(crate) const RESULT_CHANGED: &str = "result-changed";
/// The template of invitations to exams.
pub(super) const EXAM_INVITATION: &str = "exam-invitation";

/// A mail by what it is to say.
pub(crate) enum MailTemplate {
    /// "Is this address yours?" The sign-up may be a stranger's, so its name is left out.
    Verification { token: SecretToken },
    /// "Somebody signed up with your address, which has an account."
    AlreadyRegistered { name: String },
    /// "Choose a new password." With a name where the address is proven.
    Reset { name: Option<String>, token: SecretToken },
    /// "Is this address yours, which somebody wants for their account?"
    NewEmail { token: SecretToken },
    /// "Your account has another address." It goes to the former one.
    EmailChanged { name: String, token: SecretToken },
    /// "You are invited: choose a password."
    AccountInvitation { token: SecretToken },
    /// "You are invited to an exam: choose a password, or log in."
    ExamInvitation { token: SecretToken, news: InvitationNews, until: Timestamp },
    /// "Your account is deleted."
    AccountDeleted { name: String },
    /// "Your password was changed."
    PasswordChanged { name: String },
    /// "You have submitted an exam: this is what you earned."
    Result(ResultNews),
    /// "Your result has changed: it was graded again."
    ResultChanged(ResultNews),
}

/// What a mail says of a result. Rows of former versions lack the last two fields.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ResultNews {
    pub(super) name: String,
    pub(super) exam: String,
    pub(super) score: f64,
    pub(super) max_score: f64,
    pub(super) percent: f64,
    pub(super) passed: YesNo,
    /// In ms since 1970.
    pub(super) graded_at: Option<i64>,
    /// Who may end such mails.
    pub(super) user: Option<UserId>,
    /// What it was before: score and maximum.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) before: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum YesNo {
    Yes,
    No,
}

impl ResultNews {
    /// The news of `result`.
    pub(crate) fn new(name: &str, exam: &str, result: &ExamResult) -> Self {
        Self {
            name: name.to_owned(),
            exam: exam.to_owned(),
            score: result.score,
            max_score: result.max_score,
            percent: result.percent,
            passed: if result.passed { YesNo::Yes } else { YesNo::No },
            graded_at: Some(result.graded_at.as_millis()),
            user: Some(result.user_id),
            before: None,
        }
    }

    /// With what the result was before.
    pub(crate) fn after(self, before: &ExamResult) -> Self {
        Self { before: Some((before.score, before.max_score)), ..self }
    }

    pub(super) fn variables(&self) -> ResultVariables<'_> {
        ResultVariables {
            exam: &self.exam,
            score: self.score,
            max_score: self.max_score,
            percent: self.percent,
            passed: self.passed == YesNo::Yes,
            graded_at: self.graded_at.unwrap_or_default(),
            before: self.before.unwrap_or_default(),
        }
    }
}

/// What an invitation says of an exam. Moments are in ms since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct InvitationNews {
    /// As the exam's author calls the reader; may be empty.
    pub(crate) name: String,
    /// Title of the exam.
    pub(crate) exam: String,
    pub(crate) opens_at: Option<i64>,
    pub(crate) closes_at: Option<i64>,
}

impl InvitationNews {
    pub(super) fn variables(&self, until: Option<Timestamp>) -> InvitationVariables<'_> {
        InvitationVariables {
            exam: &self.exam,
            opens_at: self.opens_at.unwrap_or_default(),
            closes_at: self.closes_at.unwrap_or_default(),
            until: until.map(Timestamp::as_millis).unwrap_or_default(),
        }
    }
}

impl MailTemplate {
    /// The token that the link carries, and until when it is good.
    pub(super) fn token(&self, now: Timestamp) -> Option<(&SecretToken, Timestamp)> {
        let (token, life) = match self {
            Self::Verification { token } | Self::NewEmail { token } => (token, VERIFICATION_LIFE),
            Self::AccountInvitation { token } => (token, INVITATION_LIFE),
            Self::EmailChanged { token, .. } => (token, EMAIL_UNDO_LIFE),
            Self::Reset { token, .. } => (token, RESET_LIFE),
            Self::ExamInvitation { token, until, .. } => return Some((token, *until)),
            Self::AlreadyRegistered { .. }
            | Self::PasswordChanged { .. }
            | Self::AccountDeleted { .. }
            | Self::Result(_)
            | Self::ResultChanged(_) => return None,
        };
        Some((token, now.plus(life)))
    }

    pub(super) const fn priority(&self) -> Priority {
        match self {
            Self::Result(_) => Priority::DEFAULT,
            Self::ExamInvitation { .. } => Priority::INVITATION,
            Self::ResultChanged(_) => Priority::LOWEST, // thousands at once
            _ => Priority::HIGHEST,
        }
    }
}
