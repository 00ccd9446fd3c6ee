//! `/assets`: the files that pages load.

use actix_web::{HttpRequest, HttpResponse, http::Method, web};

use crate::{
    http::{problem::Problem, resource::resource, respond::takes_gzip},
    state::State,
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(resource("/assets/{file}", vec![(Method::GET, web::get().to(read))]));
}

async fn read(state: web::Data<State>, request: HttpRequest) -> Result<HttpResponse, Problem> {
    let file = request.match_info().get("file").unwrap_or_default();
    state.site.assets.answer(file, takes_gzip(request.headers())).ok_or_else(Problem::not_found)
}
