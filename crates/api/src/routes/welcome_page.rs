//! `/`: what this server is, for somebody who comes here by chance.

use actix_web::{
    HttpResponse,
    http::{Method, StatusCode},
    web,
};

use crate::{
    http::{page::Pages, resource::resource},
    state::State,
    templates::PageVariables,
};

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(resource("/", vec![(Method::GET, web::get().to(welcome))]));
}

async fn welcome(state: web::Data<State>, pages: Pages) -> HttpResponse {
    let console = state.site.has_console;
    let page = PageVariables { step: "ask", console, docs: true, ..PageVariables::NONE };
    pages.shown(pages.page(StatusCode::OK, "page-welcome.html", page))
}
