//! `/hooks/mail/{provider}`: providers report bounces and complaints of mails that they had accepted.

use actix_web::{
    FromRequest, HttpRequest,
    dev::Payload,
    http::{Method, StatusCode, header::HeaderMap},
    web::{self, Bytes},
};
use futures_util::future::LocalBoxFuture;
use schemars::JsonSchema;
use serde::Serialize;

use crate::{
    hooks::{HookCall, HookProvider, Refusal, Tally},
    http::{authorized::Authorized, body, guards::CountedClient, problem::Problem, resource::resource},
    openapi::{Description, Input, Operation, post},
    state::{State, now},
};

/// The address that providers are given. Under `/api/v1`, too, where the document names it.
const PATH: &str = "/hooks/mail/{provider}";

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![post(PATH, "reportMail", "Report what became of accepted mails", take)]
}

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(resource(PATH, vec![(Method::POST, web::post().to(take))]));
}

/// A request of a provider that we know.
struct HookRequest {
    provider: HookProvider,
    headers: HeaderMap,
    body: Bytes,
}

impl FromRequest for HookRequest {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let provider = request.match_info().get("provider").and_then(|name| name.parse().ok());
        let (headers, body) = (request.headers().clone(), body::bytes(request, payload));
        Box::pin(async move {
            let provider = provider.ok_or_else(Problem::not_found)?;
            Ok(Self { provider, headers, body: body.await? })
        })
    }
}

impl Input for HookRequest {
    fn describe(description: &mut Description) {
        description.path::<String>("provider");
        description.foreign_body();
        description.problem(StatusCode::UNAUTHORIZED);
        description.problem(StatusCode::FORBIDDEN);
    }
}

/// What a request reported.
#[derive(Serialize, JsonSchema)]
struct HookAnswer {
    /// Reports that changed something.
    recorded: u32,
    /// Reports that were known before.
    known: u32,
    /// Reports of mails that are not known: nothing is wrong with the request.
    unknown: u32,
}

async fn take(
    state: web::Data<State>,
    Authorized(CountedClient(_), request): Authorized<CountedClient, HookRequest>,
) -> Result<web::Json<HookAnswer>, Problem> {
    let HookRequest { provider, headers, body } = request;
    let taken = state.hooks.take(&HookCall { provider, headers: &headers, body: &body, now: now() }).await;
    let outcome = match &taken {
        Ok(_) => "taken",
        Err(Refusal::Later(_) | Refusal::Unreachable(_)) => "later",
        Err(_) => "refused",
    };
    metrics::counter!("mail_hook_requests_total", "provider" => provider.as_str(), "outcome" => outcome).increment(1);
    let Tally { recorded, known, unknown } = taken.map_err(|refusal| problem(provider, refusal))?;
    Ok(web::Json(HookAnswer { recorded, known, unknown }))
}

fn problem(provider: HookProvider, refusal: Refusal) -> Problem {
    let provider = provider.as_str();
    match refusal {
        // As an unknown one: whether a hook is on is nobody's business.
        Refusal::Off => Problem::not_found(),
        Refusal::WrongLogin => {
            tracing::warn!(provider, reason = "user or password is wrong", "Hook refused");
            Problem::no_basic_login()
        }
        Refusal::Forbidden(reason) => {
            tracing::warn!(provider, reason, "Hook refused");
            Problem::forbidden(reason)
        }
        Refusal::Malformed(reason) => Problem::bad_request(reason),
        Refusal::Later(error) => error.into(),
        Refusal::Unreachable(reason) => {
            tracing::warn!(provider, reason, "What proves a hook's origin could not be fetched");
            Problem::unavailable("what proves its origin could not be fetched")
        }
    }
}
