//! `/emails`: mails that administrators write, and every mail's way through the queue.

use std::time::Duration;

use actix_web::{http::StatusCode, web};
use examhall_boot::traces;
use examhall_core::{EmailAddress, EmailJob, MailClass, Priority, Recipients};
use examhall_queue::{Attempts, NewJob, State as JobState};
use examhall_store::NewMail;
use garde::Validate;
use ring::digest::{SHA256, digest};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;
use uuid::Uuid;

use super::email_status::EmailStatus;
use crate::{
    access::{Allowed, may},
    audit::{self, Done},
    http::{
        authorized::Authorized,
        body::JsonBody,
        extract::{Id, Parameters},
        idempotency::IdempotencyKey,
        problem::Problem,
        respond::{Accepted, NoContent},
    },
    mail::{CUSTOM, CustomMail, Delivery},
    openapi::{Operation, delete, get, post},
    operations::{actions, failures, retry::retry_mail, search},
    relay,
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![
        post("/emails", "sendEmail", "Send a mail", send),
        post("/emails/retry-failed", "retryFailedEmails", "Try failed mails again", retry_failed),
        get("/emails/{id}", "readEmail", "See how far a mail has come", read),
        delete("/emails/{id}", "removeEmail", "Remove a mail from the queue", remove),
        post("/emails/{id}/retry", "retryEmail", "Try a failed mail again", retry),
        post("/emails/{id}/resend", "resendEmail", "Send a copy of a mail that was sent", resend),
        post("/emails/{id}/promote", "promoteEmail", "Send a delayed mail now", promote),
    ]
}

/// Longest time that a mail can be deferred: 30 days.
const MAX_DELAY_MS: u64 = 30 * 24 * 3600 * 1000;

/// A mail to send.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[schemars(rename = "NewEmail")]
struct Sending {
    #[garde(custom(are_addresses))]
    #[schemars(schema_with = "recipients")]
    to: Recipients,
    #[garde(custom(is_subject))]
    #[schemars(length(min = 1, max = EmailJob::MAX_SUBJECT))]
    subject: String,
    #[garde(length(chars, min = 1), custom(is_body))]
    #[schemars(length(min = 1, max = EmailJob::MAX_BODY))]
    html: String,
    #[garde(inner(custom(is_body)))]
    #[schemars(length(max = EmailJob::MAX_BODY))]
    text: Option<String>,
    /// 10 goes first.
    #[garde(range(min = 1, max = 10))]
    #[schemars(extend("default" = Priority::DEFAULT.level()))]
    priority: Option<u8>,
    /// Times that it is tried.
    #[garde(range(min = 1, max = 50))]
    #[schemars(extend("default" = EmailJob::ATTEMPTS))]
    attempts: Option<u32>,
    /// Milliseconds to wait before it is sent: at most 30 days.
    #[garde(range(max = MAX_DELAY_MS))]
    delay_ms: Option<u64>,
}

fn recipients(generator: &mut SchemaGenerator) -> Schema {
    let one = generator.subschema_for::<EmailAddress>();
    json_schema!({"anyOf": [
        one,
        {"type": "array", "items": one, "minItems": 1, "maxItems": EmailJob::MAX_RECIPIENTS},
    ]})
}

/// The mail's job.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct JobId {
    job_id: String,
}

/// How many mails are tried again.
#[derive(Serialize, JsonSchema)]
struct Retried {
    retried: u64,
}

/// How many mails are sent now.
#[derive(Serialize, JsonSchema)]
struct Promoted {
    promoted: u64,
}

async fn send(
    state: web::Data<State>,
    Authorized(by, (IdempotencyKey(key), JsonBody(body))): Authorized<
        Allowed<may::SendMail>,
        (IdempotencyKey, JsonBody<Sending>),
    >,
) -> Result<Accepted<JobId>, Problem> {
    let now = now();
    // Queued as they were parsed: the mailer need not read them in another way.
    let recipients = EmailJob::parse_recipients(&body.to).unwrap_or_default();
    let to = recipients.first().cloned().ok_or_else(|| Problem::bad_request("`to` names nobody"))?;
    let not_before = body.delay_ms.filter(|ms| *ms > 0).map(|ms| now.plus(Duration::from_millis(ms)));
    let mut custom = CustomMail {
        to: Recipients(recipients.into_iter().map(String::from).collect()),
        subject: body.subject,
        html: body.html,
        text: body.text,
        delivery: Delivery { attempts: body.attempts, not_before },
    };
    let mail = NewMail {
        id: Uuid::now_v7(),
        class: MailClass::Other,
        template: CUSTOM.to_owned(),
        to,
        params: json!(custom),
        sealed: Vec::new(),
        priority: body.priority.map_or(Ok(Priority::DEFAULT), Priority::new).unwrap_or_default(),
        expires_at: None,
        trace: traces::current(),
    };
    let key = key.map(|key| digest(&SHA256, &[by.viewer.id.0.as_bytes(), key.as_bytes()].concat()));
    let (mut id, key) = (mail.id, key.as_ref().map(AsRef::as_ref));
    if let Some(before) = state.store.outbox.add_claimed(&mail, key, relay::HOLD, now).await? {
        id = before.waiting.mail.id;
        let mut old: CustomMail =
            serde_json::from_value(before.waiting.mail.params).map_err(|error| Problem::internal(&error))?;
        (old.delivery.not_before, custom.delivery.not_before) = (None, None); // counted from another moment
        if old != custom || before.waiting.mail.priority != mail.priority {
            let detail = "this Idempotency-Key was used for another mail";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
        }
    } else {
        let waiting = examhall_store::WaitingMail { mail, created_at: now, claims: 1 };
        if let Err(error) = relay::queue(&state, &[waiting]).await {
            tracing::warn!(%error, "A mail stays in the outbox for now"); // it is committed, and will be queued
        }
        audit::record(&state, &by, Done::one(format!("id:{}", relay::job_of(id)))).await;
    }
    Ok(Accepted(JobId { job_id: relay::job_of(id) }))
}

async fn read(
    state: web::Data<State>,
    _: Allowed<may::ReadMails>,
    Id(id): Id<String>,
) -> Result<web::Json<EmailStatus>, Problem> {
    search::find(&state, &id).await?.map(web::Json).ok_or_else(Problem::not_found)
}

async fn retry(
    state: web::Data<State>,
    by: Allowed<may::RetryMails>,
    Id(id): Id<String>,
) -> Result<Accepted<Retried>, Problem> {
    if state.queue.get(&id).await?.is_some_and(|job| job.state == JobState::Completed) {
        return Err(Problem::conflict("the mail was sent: a retry would send nothing; `resend` sends a copy"));
    }
    retry_mail(&state, &id).await?;
    state.operations.failures.forget(std::slice::from_ref(&id)).await?;
    audit::record(&state, &by, Done::one(format!("id:{id}"))).await;
    tracing::info!(job_id = id, "Retried by an operator");
    Ok(Accepted(Retried { retried: 1 }))
}

async fn resend(
    state: web::Data<State>,
    by: Allowed<may::ResendMails>,
    Id(id): Id<String>,
) -> Result<Accepted<JobId>, Problem> {
    let job = state.queue.get(&id).await?.ok_or_else(Problem::not_found)?;
    if job.state != JobState::Completed {
        return Err(Problem::conflict("the mail was not sent: `retry` and `promote` are for such mails"));
    }
    let copy =
        EmailJob::copy_of(&job.data, now()).map_err(|error| Problem::new(StatusCode::CONFLICT, error.to_string()))?;
    let options = relay::options_of_copy(&job);
    let job_id = state.queue.add(NewJob::new(EmailJob::NAME, copy).options(options)).await?;
    audit::record(&state, &by, Done::one(format!("id:{id}"))).await;
    tracing::info!(job_id, copy_of = id, "Copy sent by an operator");
    Ok(Accepted(JobId { job_id }))
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Which {
    /// Mails whose reason holds this text only.
    reason_contains: Option<String>,
}

async fn retry_failed(
    state: web::Data<State>,
    by: Allowed<may::RetryMails>,
    Parameters(which): Parameters<Which>,
) -> Result<Accepted<Retried>, Problem> {
    let retried = state.queue.retry_failed(which.reason_contains.as_deref(), Attempts::Reset).await?;
    failures::refresh(&state).await?;
    let reason = which.reason_contains.as_deref().map(|text| format!(" reason:{text:?}")).unwrap_or_default();
    audit::record(&state, &by, Done { filter: format!("state:failed{reason}"), ..Done::all(retried) }).await;
    tracing::info!(retried, "Failed mails retried by an operator");
    Ok(Accepted(Retried { retried }))
}

async fn promote(
    state: web::Data<State>,
    by: Allowed<may::PromoteMails>,
    Id(id): Id<String>,
) -> Result<Accepted<Promoted>, Problem> {
    state.queue.promote(&id).await?;
    audit::record(&state, &by, Done::one(format!("id:{id}"))).await;
    Ok(Accepted(Promoted { promoted: 1 }))
}

async fn remove(
    state: web::Data<State>,
    by: Allowed<may::RemoveMails>,
    Id(id): Id<String>,
) -> Result<NoContent, Problem> {
    actions::remove(&state, &id).await?;
    state.operations.failures.forget(std::slice::from_ref(&id)).await?;
    audit::record(&state, &by, Done::one(format!("id:{id}"))).await;
    tracing::info!(job_id = id, "Removed by an operator");
    Ok(NoContent)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde passes the context by reference")]
fn are_addresses(to: &Recipients, (): &()) -> garde::Result {
    EmailJob::parse_recipients(to).map(drop).map_err(garde::Error::new)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde passes the context by reference")]
fn is_subject(subject: &str, (): &()) -> garde::Result {
    EmailJob::check_subject(subject).map_err(garde::Error::new)
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "garde passes the context by reference")]
fn is_body(body: &str, (): &()) -> garde::Result {
    EmailJob::check_body(body).map_err(garde::Error::new)
}
