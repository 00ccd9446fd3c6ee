//! Who may do what, as types: a route that takes one of these has it checked, and holds what was read for the check.

use std::net::IpAddr;

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use examhall_core::{Attempt, AttemptId, Exam, ExamId, Question, QuestionId, Role, Viewer, Visibility};
use examhall_store::Versioned;
use futures_util::future::LocalBoxFuture;

use super::{
    client::Client,
    extract::{Id, LoggedIn},
    problem::Problem,
};
use crate::{
    openapi::{Access, Description, Input},
    state::{State, now},
};

/// Somebody who may write exams.
pub(crate) struct Author(pub(crate) Viewer);

/// Somebody who may sit exams.
pub(crate) struct Student(pub(crate) Viewer);

/// A client of an auth route, counted before anything of its body is read.
pub(crate) struct CountedClient(pub(crate) IpAddr);

/// The same for routes that take a refresh token, which have a limit of their own.
pub(crate) struct CountedSession;

/// An exam that is the viewer's to change.
pub(crate) struct OwnedExam {
    pub(crate) viewer: Viewer,
    pub(crate) version: i64,
    pub(crate) exam: Exam,
}

/// A question of an exam that is the viewer's to change.
pub(crate) struct OwnedQuestion {
    pub(crate) viewer: Viewer,
    /// That of the exam.
    pub(crate) version: i64,
    pub(crate) exam: Exam,
    pub(crate) question: Question,
}

/// An attempt at an exam that is the viewer's to change.
pub(crate) struct ExaminedAttempt {
    pub(crate) viewer: Viewer,
    pub(crate) attempt: Attempt,
}

impl Author {
    async fn check(request: HttpRequest) -> Result<Self, Problem> {
        let viewer = viewer(&request).await?;
        let is_author = matches!(viewer.role, Role::Author | Role::Admin);
        is_author.then_some(Self(viewer)).ok_or_else(|| Problem::forbidden("only authors write exams"))
    }
}

impl Student {
    async fn check(request: HttpRequest) -> Result<Self, Problem> {
        let viewer = viewer(&request).await?;
        let is_student = viewer.role == Role::Student;
        is_student.then_some(Self(viewer)).ok_or_else(|| Problem::forbidden("only students sit exams"))
    }
}

impl CountedClient {
    async fn check(request: HttpRequest) -> Result<Self, Problem> {
        let Client(client) = Client::extract(&request).await?;
        state(&request)?.limits.client(client).await?;
        Ok(Self(client))
    }
}

impl CountedSession {
    async fn check(request: HttpRequest) -> Result<Self, Problem> {
        let Client(client) = Client::extract(&request).await?;
        state(&request)?.limits.session(client).await?;
        Ok(Self)
    }
}

impl OwnedExam {
    async fn check(request: HttpRequest) -> Result<Self, Problem> {
        let (viewer, state) = (viewer(&request).await?, state(&request)?);
        let Id(id) = Id::<ExamId>::extract(&request).await?;
        let Versioned { version, value: exam } = state.store.exams.get(id).await?;
        check_owner(&exam, viewer)?;
        Ok(Self { viewer, version, exam })
    }
}

impl OwnedQuestion {
    async fn check(request: HttpRequest) -> Result<Self, Problem> {
        let (viewer, state) = (viewer(&request).await?, state(&request)?);
        let Id(id) = Id::<QuestionId>::extract(&request).await?;
        let Versioned { version, value: (exam, question) } = state.store.questions.get(id).await?;
        check_owner(&exam, viewer)?;
        Ok(Self { viewer, version, exam, question })
    }
}

impl ExaminedAttempt {
    async fn check(request: HttpRequest) -> Result<Self, Problem> {
        let (viewer, state) = (viewer(&request).await?, state(&request)?);
        let Id(id) = Id::<AttemptId>::extract(&request).await?;
        let (attempt, _) = state.store.attempts.get(id).await?;
        check_owner(&state.store.exams.get(attempt.exam_id).await?.value, viewer)?;
        Ok(Self { viewer, attempt })
    }
}

async fn viewer(request: &HttpRequest) -> Result<Viewer, Problem> {
    LoggedIn::extract(request).await.map(|LoggedIn(viewer)| viewer)
}

fn state(request: &HttpRequest) -> Result<web::Data<State>, Problem> {
    let state = request.app_data::<web::Data<State>>().cloned();
    state.ok_or_else(|| Problem::internal(&"the application has no state"))
}

/// A draft does not even exist for anybody else.
fn check_owner(exam: &Exam, viewer: Viewer) -> Result<(), Problem> {
    let access = exam.access();
    match access.sheet_for(viewer, now()) {
        _ if access.is_owned_by(viewer) => Ok(()),
        Visibility::Hidden => Err(Problem::not_found()),
        Visibility::Allowed | Visibility::WithAttempt => Err(Problem::forbidden("only the exam's author may do this")),
    }
}

macro_rules! inputs {
    ($($guard:ty: |$description:ident| $describe:expr;)*) => {
        $(impl Input for $guard {
            fn describe($description: &mut Description) {
                $describe;
            }
        })*
    };
}

inputs! {
    Author: |description| description.access(Access::Author);
    Student: |description| description.access(Access::Student);
    CountedClient: |description| description.credentials();
    CountedSession: |description| description.credentials();
    OwnedExam: |description| (description.path::<ExamId>("id"), description.access(Access::Author));
    OwnedQuestion: |description| (description.path::<QuestionId>("id"), description.access(Access::Author));
    ExaminedAttempt: |description| (description.path::<AttemptId>("id"), description.access(Access::Author));
}

macro_rules! from_request {
    ($($guard:ty),*) => {
        $(impl FromRequest for $guard {
            type Error = Problem;
            type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

            fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
                Box::pin(Self::check(request.clone()))
            }
        })*
    };
}

from_request!(Author, Student, CountedClient, CountedSession, OwnedExam, OwnedQuestion, ExaminedAttempt);
