//! `/openapi.json`, and `/docs`: Swagger UI, which is a part of the program and needs nothing from elsewhere.

use std::io::{self, Read};

use actix_web::{
    HttpRequest, HttpResponse, Route,
    http::{
        Method,
        header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, VARY},
    },
    web,
};
use flate2::read::GzDecoder;

use crate::{
    http::{problem::Problem, resource::resource, respond::takes_gzip},
    state::State,
};

/// No script or style but those below, and images only in the style itself.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// A file of the page, see `assets/docs/README.md`.
struct Asset {
    path: &'static str,
    content_type: &'static str,
    content: Content,
}

#[derive(Clone, Copy)]
enum Content {
    Text(&'static str),
    Gzip(&'static [u8]),
}

const ASSETS: [Asset; 5] = [
    Asset {
        path: "/docs",
        content_type: "text/html; charset=utf-8",
        content: Content::Text(include_str!("../../assets/docs/index.html")),
    },
    Asset {
        path: "/docs/init.js",
        content_type: "text/javascript; charset=utf-8",
        content: Content::Text(include_str!("../../assets/docs/init.js")),
    },
    Asset {
        path: "/docs/licenses.txt",
        content_type: "text/plain; charset=utf-8",
        content: Content::Text(include_str!("../../assets/docs/licenses.txt")),
    },
    Asset {
        path: "/docs/swagger-ui-bundle.js",
        content_type: "text/javascript; charset=utf-8",
        content: Content::Gzip(include_bytes!("../../assets/docs/swagger-ui-bundle.js.gz")),
    },
    Asset {
        path: "/docs/swagger-ui.css",
        content_type: "text/css; charset=utf-8",
        content: Content::Gzip(include_bytes!("../../assets/docs/swagger-ui.css.gz")),
    },
];

pub(super) fn routes(app: &mut web::ServiceConfig) {
    app.service(resource("/openapi.json", vec![(Method::GET, web::get().to(document))]));
    for asset in &ASSETS {
        app.service(resource(asset.path, vec![(Method::GET, route(asset))]));
    }
}

async fn document(state: web::Data<State>) -> HttpResponse {
    HttpResponse::Ok().content_type("application/json").body(state.api_document.clone())
}

fn route(asset: &'static Asset) -> Route {
    web::get().to(move |request: HttpRequest| async move { answer(asset, takes_gzip(request.headers())) })
}

fn answer(asset: &Asset, takes_gzip: bool) -> Result<HttpResponse, Problem> {
    let mut response = HttpResponse::Ok();
    response
        .content_type(asset.content_type)
        .insert_header((CONTENT_SECURITY_POLICY, POLICY))
        .insert_header((VARY, "accept-encoding"))
        .insert_header((CACHE_CONTROL, "public, max-age=3600"));
    Ok(match asset.content {
        Content::Text(text) => response.body(text),
        Content::Gzip(bytes) if takes_gzip => response.insert_header((CONTENT_ENCODING, "gzip")).body(bytes),
        Content::Gzip(bytes) => response.body(inflated(bytes).map_err(|error| Problem::internal(&error))?),
    })
}

fn inflated(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use ring::digest::{SHA256, digest};

    use super::*;
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

    #[test]
    fn swagger_ui_is_as_it_was_published() {
        let table = include_str!("../../assets/docs/README.md");
        for asset in &ASSETS {
            if let Content::Gzip(bytes) = asset.content {
                let hash = digest(&SHA256, &inflated(bytes).expect("gzip"));
                let hash = format!("{hash:?}").replace("SHA256:", "");
                let name = asset.path.trim_start_matches("/docs/");
                assert!(table.contains(&format!("| `{name}` | `{hash}` |")), "{name} has {hash}");
            }
        }
    }
}
