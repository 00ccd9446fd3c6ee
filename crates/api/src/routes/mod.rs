//! The routes.

mod attempts;
mod auth;
mod docs;
mod email_status;
mod emails;
mod exams;
mod health;
mod questions;
mod queue;
mod reset_page;
mod results;
mod sessions;
mod users;
mod verify_page;

use actix_web::web;

pub(crate) use health::ReadinessCheck;

/// All routes of the public port.
pub(crate) fn all(app: &mut web::ServiceConfig) {
    let pages = |app: &mut web::ServiceConfig| {
        app.configure(docs::routes).configure(verify_page::routes).configure(reset_page::routes);
    };
    app.configure(health::routes).configure(pages).service(
        // Routes are tried in turn: first the one that a thousand students ask for in one second.
        web::scope("/api/v1")
            .configure(questions::routes)
            .configure(auth::routes)
            .configure(sessions::routes)
            .configure(users::routes)
            .configure(exams::routes)
            .configure(attempts::routes)
            .configure(results::routes)
            .configure(emails::routes)
            .configure(queue::routes),
    );
}
