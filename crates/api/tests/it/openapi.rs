use std::collections::BTreeSet;

use examhall_testkit::Process;
use reqwest::Method;
use serde_json::Value;

use crate::{Api, PATIENCE};

/// Every operation of the document, with made-up ids.
fn operations(document: &Value) -> Vec<(Method, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths
        .flat_map(|(path, operations)| {
            let path = path.replace("{id}", "00000000-0000-0000-0000-000000000000");
            operations.as_object().expect("operations").iter().map(move |(method, operation)| {
                (method.to_uppercase().parse().expect("a method"), path.clone(), operation)
            })
        })
        .collect()
}

#[tokio::test]
async fn every_documented_operation_exists_and_answers() {
    let api = Api::start().await;
    let document: Value = api.get("/openapi.json").await.json().await.expect("JSON");
    let seeded = api.seed().await;
    let tokens = [
        None,
        Some(api.log_in(&seeded["studentEmails"][0]).await),
        Some(api.log_in(&seeded["authorEmail"]).await),
        Some(api.admin().await),
    ];
    for (method, path, operation) in operations(&document) {
        let schema = operation["requestBody"]["content"]["application/json"]["schema"]["$ref"].as_str();
        let example = schema.map(|schema| {
            let name = schema.rsplit('/').next().expect("a name");
            &document["components"]["schemas"][name]["examples"][0]
        });
        for token in &tokens {
            let mut request = api.request(method.clone(), &path);
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some(example) = example {
                request = request.json(example);
            }
            let answer = request.send().await.expect("an answer");
            let status = answer.status().as_u16();
            assert!(operation["responses"].get(status.to_string()).is_some(), "{method} {path}: {status}");
            assert!(status < 500, "{method} {path}: {status}");
            let needs_token = operation.get("security").is_some();
            assert_eq!(needs_token && token.is_none(), needs_token && status == 401, "{method} {path}: {status}");
            if status == 404 {
                let problem: Value = answer.json().await.expect("JSON");
                assert_ne!(problem["title"], "Method Not Allowed", "{method} {path}");
            }
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn the_page_to_try_it_needs_nothing_from_elsewhere() {
    let api = Api::start().await;
    let page = api.get("/docs").await;
    let policy = page.headers()["content-security-policy"].to_str().expect("text").to_owned();
    assert!(policy.contains("default-src 'none'") && policy.contains("script-src 'self'"), "{policy}");
    let page = page.text().await.expect("text");
    let script = api.get("/docs/try.js").await.text().await.expect("text");
    for text in [page, script] {
        assert!(!text.contains("http://") && !text.contains("https://"), "{text}");
    }
    api.stop().await;
}

#[tokio::test]
async fn the_document_can_be_printed_without_a_server() {
    let mut command = Process::spawn_binary("api", &["openapi"], [("APP_ENV", "development")]);
    assert!(command.exit(PATIENCE).await.success(), "{}", command.output());
    assert!(command.output().contains("\"openapi\": \"3.1.0\""));
}

/// The routes as `src/routes/` registers them: `post /exams/{id}/publish`.
fn routes() -> BTreeSet<String> {
    let files = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/routes")).expect("the routes");
    let in_file = |file: std::io::Result<std::fs::DirEntry>| -> Vec<String> {
        let source = std::fs::read_to_string(file.expect("a file").path()).expect("text");
        let source = source.replace(".route(\"", "web::resource(\"");
        let resources = source.split("web::resource(\"").skip(1).filter_map(|rest| rest.split_once('"'));
        let methods = ["get", "post", "put", "patch", "delete"];
        let of = |(path, rest): (&str, &str)| {
            methods.map(|method| rest.contains(&format!("web::{method}()")).then(|| format!("{method} {path}")))
        };
        resources.flat_map(of).flatten().collect()
    };
    files.flat_map(in_file).collect()
}

#[tokio::test]
async fn every_route_has_its_operation_and_every_operation_its_route() {
    let api = Api::start().await;
    let document: Value = api.get("/openapi.json").await.json().await.expect("JSON");
    let paths = document["paths"].as_object().expect("paths").iter();
    let operations = paths.flat_map(|(path, operations)| {
        let path = path.trim_start_matches("/api/v1");
        operations.as_object().expect("operations").keys().map(move |method| format!("{method} {path}"))
    });
    let pages = ["get /verify", "post /verify", "get /reset", "post /reset", "get /docs", "get /docs/try.js"];
    let beside = pages.into_iter().chain(["get /openapi.json", "get /healthz", "get /readyz"]).map(str::to_owned);
    assert_eq!(operations.chain(beside).collect::<BTreeSet<_>>(), routes());
    api.stop().await;
}

#[tokio::test]
async fn head_answers_wherever_get_does_without_a_body() {
    let api = Api::start().await;
    let document: Value = api.get("/openapi.json").await.json().await.expect("JSON");
    let seeded = api.seed().await;
    let exam = seeded["examId"].as_str().expect("an id");
    let token = api.log_in(&seeded["authorEmail"]).await;
    let pages = ["/healthz", "/readyz", "/docs", "/docs/try.js", "/openapi.json", "/verify", "/reset", "/nowhere"];
    let made_up = "00000000-0000-0000-0000-000000000000";
    let gets = operations(&document).into_iter().filter(|(method, ..)| *method == Method::GET);
    let paths = gets.map(|(_, path, _)| path.replace(&format!("/exams/{made_up}"), &format!("/exams/{exam}")));
    for path in pages.map(ToOwned::to_owned).into_iter().chain(paths) {
        // Twice each, so that both come from the cache.
        let ask =
            async |method: Method| api.request(method, &path).bearer_auth(&token).send().await.expect("an answer");
        ask(Method::GET).await;
        let (get, head) = (ask(Method::GET).await, ask(Method::HEAD).await);
        assert_eq!(head.status(), get.status(), "{path}");
        for name in ["content-type", "etag", "cache-status", "transfer-encoding"] {
            assert_eq!(head.headers().get(name), get.headers().get(name), "{name} of {path}");
        }
        if head.status().is_success() && !path.ends_with("readyz") {
            assert_eq!(head.headers().get("content-length"), get.headers().get("content-length"), "{path}");
        }
        assert!(head.bytes().await.expect("an end").is_empty(), "{path}");
    }
    for (path, allowed) in [
        ("/healthz", "GET, HEAD"),
        ("/reset", "GET, POST, HEAD"),
        ("/api/v1/exams", "POST, GET, HEAD"),
        ("/api/v1/auth/login", "POST"),
    ] {
        let refused = api.request(Method::DELETE, path).bearer_auth(&token).send().await.expect("an answer");
        assert_eq!(refused.status(), 405, "{path}");
        assert_eq!(refused.headers()["allow"], allowed, "{path}");
    }
    api.stop().await;
}
