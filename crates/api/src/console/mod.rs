//! The operators' console: pages made by the server, which work without JavaScript and are live with it.
//!
//! ```text
//!   session   who it is: a cookie whose token is a row of the database
//!   page      the frame of every page, and what its template shows
//!   guard     Console<P>: somebody who is logged in and may do P
//!   errors    errors as pages; writes that no page of ours has sent are refused
//!   live      one stream of events (SSE) for each page that is looked at
//!   login, audit, overview, ...   the pages
//! ```
//! A page holds no logic: it shows what the functions of the JSON routes return.

mod audit;
mod cache;
mod chart;
mod charts;
mod errors;
mod failures;
mod format;
mod guard;
mod live;
mod login;
mod mail;
mod mail_actions;
mod mailers;
mod mails;
mod nav;
mod overview;
mod page;
mod pause;
mod preview;
mod session;
mod suppressions;

use actix_web::{http::Method, middleware::from_fn, web};

use crate::{
    http::{
        middleware::{detached, no_route},
        resource::resource,
    },
    site::Site,
};

/// The routes of the console, unless it is off.
pub(crate) fn routes(app: &mut web::ServiceConfig, site: &Site) {
    if !site.has_console {
        return;
    }
    let mut pages = web::scope("/console")
        .service(resource("", vec![(Method::GET, web::get().to(overview::show))]))
        .service(resource("/audit", vec![(Method::GET, web::get().to(audit::show))]))
        .service(resource("/cache", vec![(Method::GET, web::get().to(cache::show))]))
        .service(resource("/cache/invalidate", vec![(Method::POST, web::post().to(cache::invalidate))]))
        .service(resource("/preview", vec![(Method::GET, web::get().to(preview::show))]))
        .service(resource("/preview/html", vec![(Method::GET, web::get().to(preview::show_html))]))
        .service(resource("/preview/sent", vec![(Method::GET, web::get().to(preview::show_sent))]))
        .service(resource("/preview/sent/html", vec![(Method::GET, web::get().to(preview::show_sent_html))]))
        .service(resource("/live", vec![(Method::GET, web::get().to(live::stream))]))
        .service(resource(
            "/login",
            vec![(Method::GET, web::get().to(login::ask)), (Method::POST, web::post().to(login::log_in))],
        ))
        .service(resource("/logout", vec![(Method::POST, web::post().to(login::log_out))]))
        .service(resource("/mails", vec![(Method::GET, web::get().to(mails::show))]))
        .service(resource(
            "/mails/actions",
            vec![(Method::GET, web::get().to(mail_actions::ask)), (Method::POST, web::post().to(mail_actions::act))],
        ))
        .service(resource("/mails/{id}", vec![(Method::GET, web::get().to(mail::show))]))
        .service(resource("/held", vec![(Method::GET, web::get().to(mails::held))]))
        .service(resource(
            "/suppressions",
            vec![(Method::GET, web::get().to(suppressions::show)), (Method::POST, web::post().to(suppressions::add))],
        ))
        .service(resource("/suppressions/confirm", vec![(Method::POST, web::post().to(suppressions::confirm))]))
        .service(resource("/suppressions/lift", vec![(Method::POST, web::post().to(suppressions::lift))]))
        .service(resource("/queue/pause", vec![(Method::POST, web::post().to(pause::pause))]))
        .service(resource("/queue/resume", vec![(Method::POST, web::post().to(pause::resume))]))
        .service(resource("/mailers", vec![(Method::GET, web::get().to(mailers::show))]))
        .service(resource("/charts", vec![(Method::GET, web::get().to(charts::show))]))
        .default_service(web::to(no_route));
    for (path, routes) in failures::routes() {
        pages = pages.service(resource(path, routes));
    }
    app.service(pages.wrap(from_fn(detached)).wrap(from_fn(errors::as_pages)));
}
