//! The routes.

mod accommodations;
mod assets;
mod attempt_list;
mod attempts;
mod audit;
mod auth;
mod docs;
mod email_search;
pub(crate) mod email_status;
mod emails;
mod exam_documents;
mod exam_imports;
mod exam_states;
mod exams;
mod failures;
pub(crate) mod health;
mod history;
mod hooks;
mod invitation_page;
mod invitations;
mod mailed;
mod mailers;
mod my_data;
mod my_email;
mod my_password;
mod my_sessions;
mod questions;
mod queue;
mod regrades;
mod reset_page;
mod results;
mod roster;
mod seats;
mod sessions;
pub(crate) mod suppressions;
mod undo_email_page;
mod unsubscribe_page;
mod users;
mod users_admin;
mod verify_page;
mod welcome_page;

use actix_web::{Route, Scope, http::Method, middleware::from_fn, web};
use serde_json::Value;

pub(crate) use health::ReadinessCheck;

use crate::{
    http::{middleware::detached, problem, resource::resource},
    openapi::{self, Operation},
};

/// All routes of the public port.
pub(crate) fn all(app: &mut web::ServiceConfig) {
    app.configure(health::routes)
        .configure(assets::routes)
        .configure(hooks::routes)
        .configure(docs::routes)
        .configure(welcome_page::routes)
        .configure(verify_page::routes)
        .configure(reset_page::routes)
        .configure(invitation_page::routes)
        .configure(undo_email_page::routes)
        .configure(unsubscribe_page::routes);
    let mut paths: Vec<Address> = Vec::new();
    for operation in operations() {
        let is_detached = operation.is_write_of_operators();
        let route = (operation.method, operation.route);
        match paths.iter_mut().find(|known| known.path == operation.path) {
            Some(known) => {
                known.routes.push(route);
                known.is_detached |= is_detached;
            }
            None => paths.push(Address { path: operation.path, routes: vec![route], is_detached }),
        }
    }
    app.service(paths.into_iter().fold(web::scope("/api/v1"), Address::add_to));
}

/// A path of the API, and its operations.
struct Address {
    path: &'static str,
    routes: Vec<(Method, Route)>,
    /// Whether its writes run to their end.
    is_detached: bool,
}

impl Address {
    fn add_to(scope: Scope, Self { path, routes, is_detached }: Self) -> Scope {
        let resource = resource(path, routes);
        if is_detached { scope.service(resource.wrap(from_fn(detached))) } else { scope.service(resource) }
    }
}

/// The OpenAPI document.
pub(crate) fn document() -> Value {
    openapi::document::<problem::Document>(&operations())
}

/// The OpenAPI document of an API that clients reach at the path `server`.
pub(crate) fn document_at(server: &str) -> Value {
    let mut document = document();
    document["servers"][0]["url"] = server.into();
    document
}

/// Every operation of the API. Routes are tried in turn: first the one that a thousand students ask for in one second.
fn operations() -> Vec<Operation> {
    [
        questions::operations(),
        auth::operations(),
        sessions::operations(),
        my_data::operations(),
        my_email::operations(),
        my_password::operations(),
        my_sessions::operations(), // before `/users/{id}`
        users::operations(),
        users_admin::operations(),  // after `/users/me`
        exam_imports::operations(), // before `/exams/{id}`, which would take `/exams/import`
        exam_documents::operations(),
        exams::operations(),
        exam_states::operations(),
        accommodations::operations(),
        seats::operations(),
        roster::operations(),
        invitations::operations(),
        attempts::operations(),
        attempt_list::operations(),
        results::operations(),
        regrades::operations(),
        failures::operations(),
        history::operations(),
        email_search::operations(), // before `/emails/{id}`, which would take `/emails/actions`
        emails::operations(),
        mailers::operations(),
        queue::operations(),
        hooks::operations(),
        suppressions::operations(),
        audit::operations(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
