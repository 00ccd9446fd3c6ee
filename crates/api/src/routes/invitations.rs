//! `/exams/{id}/invitations`: those on a roster are invited by mail, and make an account by the link in it. The link proves
//! the address, as one of a verification mail does.

use std::net::IpAddr;

use actix_web::{http::StatusCode, web};
use examhall_core::{BadPassword, EmailAddress, Exam, Locale, Profile, check_password};
use examhall_store::{Acceptance, Accepted, Guest, Guests, Invited, NewInvitation};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{mailed::Message, roster::MAX_STUDENTS};
use crate::{
    auth::SecretToken,
    http::{
        authorized::Authorized,
        body::{JsonBody, OptionalBody},
        guards::{CountedClient, OwnedExam},
        language::AcceptedLanguage,
        problem::{FieldError, Problem},
        respond,
        text::is_name,
    },
    mail::{InvitationNews, MailTemplate},
    openapi::{Operation, post},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/exams/{id}/invitations", "inviteStudents", "Invite students of the roster by mail", invite),
        post("/auth/invitation", "acceptInvitation", "Make an account by the link of an invitation", accept),
    ]
}

/// Whom to invite.
#[derive(Default, Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewInvitations", example = json!({"emails": ["ada@example.com"], "locale": "de"}))]
struct Asked {
    /// Students of the roster, also if they were invited before, other than within the last minute. Without it all that were
    /// not invited yet.
    #[garde(length(max = MAX_STUDENTS))]
    emails: Option<Vec<String>>,
    /// Language of mails to those whose account has none; without it that of `Accept-Language`.
    #[garde(skip)]
    locale: Option<Locale>,
}

/// How many mails were queued.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "QueuedInvitations")]
struct Queued {
    queued: u64,
}

#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "InvitationAcceptance")]
struct Choice {
    /// From the link in the mail.
    #[garde(length(min = 1, max = 200))]
    token: String,
    #[garde(length(chars, min = 1, max = Profile::MAX_NAME), custom(is_name))]
    name: String,
    #[garde(length(bytes, max = 4096))]
    #[schemars(length(min = BadPassword::MIN_CHARS, max = BadPassword::MAX_BYTES))]
    password: String,
    /// Language of mails to the account; without it that of `Accept-Language`.
    #[garde(skip)]
    locale: Option<Locale>,
}

async fn invite(
    state: web::Data<State>,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(owned, OptionalBody(body)): Authorized<OwnedExam, OptionalBody<Asked>>,
) -> Result<respond::Accepted<Queued>, Problem> {
    let (Asked { emails, locale }, now) = (body, now());
    let fallback = locale.or(language);
    let emails = emails.map(addresses).transpose()?;
    let guests = emails.as_deref().map_or(Guests::Rest, Guests::These);
    let make = |exam: &Exam, guest: Guest| {
        let (token, until) = (SecretToken::random(), exam.invitation_until(now));
        let hash = token.hash();
        let [opens_at, closes_at] =
            [exam.opens_at, exam.closes_at].map(|at| at.map(examhall_core::Timestamp::as_millis));
        let news = InvitationNews { name: guest.entry.name, exam: exam.title.clone(), opens_at, closes_at };
        let template = MailTemplate::ExamInvitation { token, news, until };
        let locale = guest.locale.as_ref().or(fallback.as_ref());
        let mail = state.mail_composer.envelope(guest.entry.email, &template, locale, now);
        NewInvitation { hash, expires_at: until, mail }
    };
    match state.store.seats.invite(owned.exam.id, guests, make, owned.viewer.id, now).await? {
        Invited::Queued(queued) => {
            state.wake.notify_one();
            tracing::info!(exam_id = %owned.exam.id, queued, "Students invited");
            Ok(respond::Accepted(Queued { queued }))
        }
        Invited::Unknown(places) => {
            let unknown = places.into_iter().map(|n| at(n, "is not on the roster of the exam".to_owned()));
            Err(Problem::invalid(unknown.collect()))
        }
    }
}

/// All addresses, or every one that is none.
fn addresses(texts: Vec<String>) -> Result<Vec<EmailAddress>, Problem> {
    let (mut addresses, mut errors) = (Vec::new(), Vec::new());
    for (n, text) in texts.into_iter().enumerate() {
        match EmailAddress::parse(&text) {
            Ok(address) => addresses.push(address),
            Err(error) => errors.push(at(n, error.to_string())),
        }
    }
    if errors.is_empty() { Ok(addresses) } else { Err(Problem::invalid(errors)) }
}

fn at(place: usize, detail: String) -> FieldError {
    FieldError { pointer: format!("/emails/{place}"), detail }
}

async fn accept(
    state: web::Data<State>,
    AcceptedLanguage(language): AcceptedLanguage,
    Authorized(CountedClient(client), JsonBody(body)): Authorized<CountedClient, JsonBody<Choice>>,
) -> Result<web::Json<Message>, Problem> {
    let Choice { token, name, password, locale } = body;
    match accepted(&state, client, &token, name, password, locale.or(language)).await? {
        Outcome::Ready => Ok(web::Json(Message { message: "Your account is ready" })),
        Outcome::HasAccount { .. } => {
            Err(Problem::conflict("there is an account with this address already: log in with it"))
        }
        Outcome::BadPassword { error, .. } => {
            Err(Problem::invalid(vec![FieldError { pointer: "/password".to_owned(), detail: error.to_string() }]))
        }
        Outcome::Refused => Err(Problem::new(
            StatusCode::BAD_REQUEST,
            "this token is not known, was used before, has expired, or its student was taken off the roster",
        )),
    }
}

/// What became of an invitation.
pub(super) enum Outcome {
    /// There is an account, whose owner can log in.
    Ready,
    /// There was one before: its owner may sit the exam of this title.
    HasAccount { exam: String },
    /// The password cannot be taken; the exam has this title.
    BadPassword { error: BadPassword, exam: String },
    /// The token is good for nothing.
    Refused,
}

/// Makes an account of an invitation's token, with a name that has been checked.
pub(super) async fn accepted(
    state: &State,
    client: IpAddr,
    token: &str,
    name: String,
    password: String,
    locale: Option<Locale>,
) -> Result<Outcome, Problem> {
    let (hash, now) = (SecretToken::from_text(token.to_owned()).hash(), now());
    // Before the password costs anything.
    let Some(invitation) = state.store.seats.invitation(&hash, now).await? else { return Ok(Outcome::Refused) };
    let exam = invitation.exam;
    if invitation.has_account {
        return Ok(Outcome::HasAccount { exam });
    }
    if let Err(error) = check_password(&password, invitation.entry.email.as_str(), &name) {
        return Ok(Outcome::BadPassword { error, exam });
    }
    let password_hash = state.passwords.hash(client, password).await?;
    let acceptance = Acceptance { name, password_hash, locale };
    Ok(match state.store.seats.accept(&hash, &acceptance, now).await? {
        Accepted::Account(user) => {
            tracing::info!(user_id = %user, "Invitation accepted");
            Outcome::Ready
        }
        Accepted::HasAccount => Outcome::HasAccount { exam },
        Accepted::Refused => Outcome::Refused,
    })
}
