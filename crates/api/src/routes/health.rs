//! `/healthz` and `/readyz` on the public port, for load balancers.

use actix_web::{HttpResponse, http::Method, web};
use examhall_boot::{health::Readiness, liveness::Liveness};

use crate::http::resource::resource;

/// Says whether this process should get requests.
pub(crate) type ReadinessCheck = Box<dyn Fn() -> Readiness + Send + Sync>;

pub(crate) fn routes(app: &mut web::ServiceConfig) {
    app.service(resource("/healthz", vec![(Method::GET, web::get().to(alive))]))
        .service(resource("/readyz", vec![(Method::GET, web::get().to(ready))]));
}

async fn alive(liveness: web::Data<Liveness>) -> HttpResponse {
    let (mut response, body) = match liveness.check(Liveness::TIMEOUT) {
        Ok(()) => (HttpResponse::Ok(), "ok\n".to_owned()),
        Err(reason) => (HttpResponse::ServiceUnavailable(), reason + "\n"),
    };
    response.content_type("text/plain; charset=utf-8").body(body)
}

async fn ready(check: web::Data<ReadinessCheck>) -> HttpResponse {
    let readiness = check();
    let mut response = if readiness.ready { HttpResponse::Ok() } else { HttpResponse::ServiceUnavailable() };
    response.json(readiness)
}
