//! An address, and the methods that it takes.

use actix_web::{
    HttpResponse, Resource, Route,
    http::{Method, header::ALLOW},
    web,
};

/// An address with a route for each method; other methods get 405 with `Allow` (RFC 9110, section 15.5.6). HEAD is answered
/// wherever GET is: see [`head`](super::head::head).
pub(crate) fn resource(path: &str, routes: Vec<(Method, Route)>) -> Resource {
    let mut methods: Vec<_> = routes.iter().map(|(method, _)| method.to_string()).collect();
    if methods.iter().any(|method| method == "GET") {
        methods.push("HEAD".to_owned());
    }
    let allowed = methods.join(", ");
    let refuse = move || {
        let allowed = allowed.clone();
        async move { HttpResponse::MethodNotAllowed().insert_header((ALLOW, allowed)).finish() }
    };
    let resource = routes.into_iter().fold(web::resource(path), |resource, (_, route)| resource.route(route));
    resource.default_service(web::to(refuse))
}
