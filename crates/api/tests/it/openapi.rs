use std::{collections::BTreeSet, io::Read, path::PathBuf};

use examhall_testkit::Process;
use reqwest::Method;
use serde_json::Value;

use crate::{Api, TIMEOUT};

/// Every operation of the document, with made-up ids.
fn operations(document: &Value) -> Vec<(Method, String, &Value)> {
    let paths = document["paths"].as_object().expect("paths").iter();
    paths
        .flat_map(|(path, operations)| {
            let made_up = "00000000-0000-0000-0000-000000000000";
            let path = path.replace("{id}", made_up).replace("{student}", made_up);
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
    assert!(policy.starts_with("default-src 'none'; script-src 'self'; style-src 'self';"), "{policy}");
    assert!(!policy.contains("unsafe") && !policy.contains("http") && !policy.contains('*'), "{policy}");
    let page = page.text().await.expect("text");
    assert!(!page.contains("<style") && !page.contains("<script>"), "{page}");
    let mut files: Vec<_> = page.split("src=\"").chain(page.split("href=\"")).skip(1).collect();
    files.retain(|rest| !rest.starts_with('<') && !rest.starts_with("data:"));
    assert!(files.len() > 3, "{files:?}");
    for file in files {
        let path = format!("/{}", file.split('"').next().expect("an address")); // relative to `/docs`
        let (plain, packed) = (api.get(&path).await, api.request(Method::GET, &path).header("accept-encoding", "gzip"));
        assert_eq!(plain.status(), 200, "{path}");
        let packed = packed.send().await.expect("an answer");
        let is_packed = packed.headers().get("content-encoding").is_some_and(|coding| coding == "gzip");
        let (plain, bytes) = (plain.bytes().await.expect("a body"), packed.bytes().await.expect("a body"));
        let mut unpacked = Vec::new();
        if is_packed {
            flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).expect("gzip");
        } else {
            unpacked.extend(bytes);
        }
        assert!(unpacked == plain, "{path}");
    }
    let script = api.get("/docs/init.js").await.text().await.expect("text");
    assert!(!(page + &script).contains("://"), "{script}");
    api.stop().await;
}

#[tokio::test]
async fn the_document_can_be_printed_without_a_server() {
    let mut command = Process::spawn_binary("api", &["openapi"], [("APP_ENV", "development")]);
    assert!(command.exit(TIMEOUT).await.success(), "{}", command.output());
    assert!(command.output().contains("\"openapi\": \"3.1.0\""));
}

/// The files below `src/` that hold a text, and what stands behind it up to the next quote.
fn sources_with(text: &str) -> Vec<(String, String)> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/src");
    let (mut folders, mut found) = (vec![PathBuf::from(root)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).expect("text");
            let name = path.strip_prefix(root).expect("below it").display().to_string();
            let behind = source.split(text).skip(1).map(|rest| rest.split('"').next().unwrap_or_default().to_owned());
            found.extend(behind.map(|rest| (name.clone(), rest)));
        }
    }
    found
}

#[test]
fn routes_are_made_of_operations_alone() {
    let files = |text: &str| sources_with(text).into_iter().map(|(file, _)| file).collect::<BTreeSet<_>>();
    assert_eq!(files("web::scope("), ["console/mod.rs", "routes/mod.rs"].map(str::to_owned).into());
    assert_eq!(files("web::resource("), BTreeSet::from(["http/resource.rs".to_owned()]));
    assert_eq!(files("web::method("), BTreeSet::from(["openapi/operation.rs".to_owned()]));
    // What is not under `/api/v1`, and not in the document.
    let pages = sources_with("resource(\"").into_iter().filter(|(file, _)| file != "console/mod.rs");
    let pages: BTreeSet<_> = pages.map(|(_, path)| path).collect();
    let expected = [
        "/",
        "/assets/{file}",
        "/healthz",
        "/invitation",
        "/openapi.json",
        "/readyz",
        "/reset",
        "/undo-email",
        "/unsubscribe",
        "/verify",
    ];
    assert_eq!(pages, expected.map(str::to_owned).into());
    let assets: BTreeSet<_> = sources_with("path: \"").into_iter().map(|(file, _)| file).collect();
    assert_eq!(assets, BTreeSet::from(["routes/docs.rs".to_owned()]));
}

#[tokio::test]
async fn head_answers_wherever_get_does_without_a_body() {
    let api = Api::start().await;
    let document: Value = api.get("/openapi.json").await.json().await.expect("JSON");
    let seeded = api.seed().await;
    let exam = seeded["examId"].as_str().expect("an id");
    let token = api.log_in(&seeded["authorEmail"]).await;
    let pages = [
        "/healthz",
        "/readyz",
        "/docs",
        "/docs/init.js",
        "/docs/swagger-ui.css",
        "/openapi.json",
        "/verify",
        "/reset",
        "/nowhere",
    ];
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
