//! `/users/me`: a copy of one's own data, and its end.

use actix_web::web;
use examhall_core::{
    Answer, Attempt, AttemptState, EmailAddress, Exam, ExamId, ExamResult, Locale, Mark, Role, Timestamp, UserId,
};
use examhall_store::{Account, Deleter, OwnAttempt, Seat};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{mailed::envelope, roster::RosterStudent};
use crate::{
    http::{
        authorized::Authorized, body::JsonBody, extract::LoggedIn, guards::CountedClient, language::AcceptedLanguage,
        problem::Problem, respond::NoContent,
    },
    log_in::prove,
    mail::MailTemplate,
    openapi::{Operation, delete, get},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        get("/users/me/export", "exportMe", "Get a copy of one's own data", export),
        delete("/users/me", "deleteMe", "Delete one's own account", remove),
    ]
}

/// Everything that is stored of an account and meant for its owner.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MyData {
    exported_at: Timestamp,
    id: UserId,
    email: EmailAddress,
    name: String,
    role: Role,
    #[serde(skip_serializing_if = "Option::is_none")]
    locale: Option<Locale>,
    result_mails: bool,
    created_at: Timestamp,
    /// Where the account is logged in.
    sessions: Vec<MySession>,
    /// Newest first.
    attempts: Vec<MyAttempt>,
    /// Exams that the account may sit by their roster or code, as their authors see it; newest first.
    seats: Vec<MySeat>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MySeat {
    exam_id: ExamId,
    /// The exam's title.
    exam: String,
    #[serde(flatten)]
    seat: RosterStudent,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MySession {
    created_at: Timestamp,
    expires_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    network: Option<String>,
}

#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct MyAttempt {
    #[serde(flatten)]
    attempt: Attempt,
    state: AttemptState,
    /// The exam's title.
    exam: String,
    answers: Vec<Answer>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_at: Option<Timestamp>,
    /// As far as the exam shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    result: Option<ExamResult>,
    /// The points of each question, as far as the exam shows them.
    #[serde(skip_serializing_if = "Option::is_none")]
    marks: Option<Vec<Mark>>,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Confirmation {
    /// The account's.
    #[garde(length(bytes, max = 4096))]
    password: String,
}

async fn export(state: web::Data<State>, LoggedIn(viewer): LoggedIn) -> Result<web::Json<MyData>, Problem> {
    let (accounts, now) = (&state.store.accounts, now());
    let account = accounts.get(viewer.id).await?.value;
    let sessions = accounts.sessions(viewer.id, now).await?.into_iter().map(|session| MySession {
        created_at: session.began_at,
        expires_at: session.expires_at,
        network: session.network,
    });
    let attempts = state.store.attempts.of_user(viewer.id).await?;
    let seats = state.store.seats.of_user(viewer.id).await?;
    Ok(web::Json(MyData {
        exported_at: now,
        id: account.id,
        email: account.email,
        name: account.name,
        role: account.role,
        locale: account.locale,
        result_mails: account.result_mails,
        created_at: account.created_at,
        sessions: sessions.collect(),
        attempts: attempts.into_iter().map(|one| MyAttempt::of(one, now)).collect(),
        seats: seats.into_iter().map(MySeat::from).collect(),
    }))
}

impl From<(Seat, Exam)> for MySeat {
    fn from((seat, exam): (Seat, Exam)) -> Self {
        Self { exam_id: exam.id, exam: exam.title, seat: seat.into() }
    }
}

impl MyAttempt {
    fn of(OwnAttempt { attempt, saved, exam, result }: OwnAttempt, now: Timestamp) -> Self {
        let access = exam.access();
        let shown = result.filter(|(result, _)| access.shows_result(result.graded_at, now));
        let (result, marks) = shown.unzip();
        Self {
            state: attempt.state(),
            attempt,
            exam: exam.title,
            answers: saved.answers,
            saved_at: saved.saved_at,
            result,
            marks: marks.filter(|_| exam.show_marks),
        }
    }
}

/// What others must keep stays without a name: attempts, with their answers and results. Open attempts are submitted with
/// what is saved.
async fn remove(
    state: web::Data<State>,
    CountedClient(client): CountedClient,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(LoggedIn(viewer), JsonBody(body)): Authorized<LoggedIn, JsonBody<Confirmation>>,
) -> Result<NoContent, Problem> {
    let account = prove(&state, client, viewer.id, body.password, "/password").await?;
    let now = now();
    let mail = |account: &Account| {
        let template = MailTemplate::AccountDeleted { name: account.name.clone() };
        envelope(&state, account, &template, language.as_ref(), now)
    };
    let by = Deleter::Owner(&account.password_hash);
    state.store.accounts.delete(viewer.id, by, state.passwords.unusable(), mail, now).await?;
    state.wake.notify_one();
    tracing::info!(user_id = %viewer.id, "Account deleted");
    Ok(NoContent)
}
