//! `/openapi.json`, and `/docs`: a page to try the API on, without anything from elsewhere.

use std::sync::LazyLock;

use actix_web::{HttpResponse, http::Method, web};

use crate::http::resource::resource;

static DOCUMENT: LazyLock<String> = LazyLock::new(|| super::document().to_string());
const PAGE: &str = include_str!("../../templates/docs/index.html");
const SCRIPT: &str = include_str!("../../templates/docs/try.js");
const POLICY: &str = "default-src 'none'; script-src 'self'; connect-src 'self'; style-src 'unsafe-inline'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(resource("/openapi.json", vec![(Method::GET, web::get().to(document))]))
        .service(resource("/docs", vec![(Method::GET, web::get().to(page))]))
        .service(resource("/docs/try.js", vec![(Method::GET, web::get().to(script))]));
}

async fn document() -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(DOCUMENT.as_str())
}

async fn page() -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.content_type("text/html; charset=utf-8").insert_header(("content-security-policy", POLICY)).body(PAGE)
}

async fn script() -> HttpResponse {
    HttpResponse::Ok().content_type("text/javascript; charset=utf-8").body(SCRIPT)
}

#[cfg(test)]
mod tests {
    use crate::routes::document;

    /// `UPDATE_OPENAPI=1` writes the copy.
    #[test]
    fn the_copy_in_docs_is_this_document() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
        let current = serde_json::to_string_pretty(&document()).expect("JSON") + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(path, &current).expect("written");
        }
        assert_eq!(std::fs::read_to_string(path).expect("the copy"), current, "run it with UPDATE_OPENAPI=1");
    }

    #[test]
    fn every_schema_that_is_named_is_there_and_has_an_example() {
        let document = document();
        let schemas = document["components"]["schemas"].as_object().expect("schemas");
        let text = document.to_string();
        for reference in text.split("#/components/schemas/").skip(1) {
            let name = reference.split('"').next().unwrap_or_default();
            assert!(schemas.contains_key(name), "{name}");
        }
        for (name, schema) in schemas {
            let is_object = schema["type"] == "object";
            assert!(!is_object || schema["examples"][0].is_object(), "{name} has no example");
        }
    }

    #[test]
    fn examples_hold_no_answer_key_where_a_student_reads() {
        let document = document();
        for name in ["QuestionSheet", "StudentQuestion", "Attempt"] {
            let shown = document["components"]["schemas"][name].to_string();
            for key in ["correct", "tolerance", "accepted", "\"answer\""] {
                assert!(!shown.contains(key), "{name} shows {key}");
            }
        }
    }
}
