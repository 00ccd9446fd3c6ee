//! `/mailers`: the mailers that run, and their providers.

use actix_web::web;
use examhall_core::MailerStatus;

use crate::{
    access::{Allowed, may},
    http::{list::Items, problem::Problem},
    openapi::{Operation, get},
    state::State,
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    vec![get("/mailers", "listMailers", "See the mailers that run, and their providers", all)]
}

/// Those whose heartbeat is not older than 15 s; all are on one page.
async fn all(state: web::Data<State>, _: Allowed<may::ReadMailers>) -> Result<web::Json<Items<MailerStatus>>, Problem> {
    Ok(Items::new(state.operations.fleet.mailers().await?, None))
}
