//! The schemas of the OpenAPI document are those of the code, in both directions: a body may hold what its schema names
//! and nothing else, and an answer holds what its schema promises and nothing else.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::Api;

/// What is not in an answer as its schema says, as sentences. `schema` may be a reference into `document`.
pub(crate) fn faults(document: &Value, schema: &Value, answer: &Value, at: &str) -> Vec<String> {
    let schema = resolve(document, schema);
    if let Some(choices) = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array()) {
        let tried: Vec<_> = choices.iter().map(|choice| faults(document, choice, answer, at)).collect();
        return if tried.iter().any(Vec::is_empty) { Vec::new() } else { tried.concat() };
    }
    if !has_type(&schema["type"], answer) {
        return vec![format!("{at}: {answer} is no {}", schema["type"])];
    }
    if !schema["const"].is_null() && schema["const"] != *answer {
        return vec![format!("{at}: {answer} is not {}", schema["const"])];
    }
    match answer {
        Value::Object(fields) => faults_of_fields(document, schema, fields, at),
        Value::Array(items) if !schema["items"].is_null() => {
            items.iter().flat_map(|item| faults(document, &schema["items"], item, &format!("{at}/0"))).collect()
        }
        _ => Vec::new(),
    }
}

fn faults_of_fields(document: &Value, schema: &Value, fields: &Map<String, Value>, at: &str) -> Vec<String> {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let missing = required.filter(|name| !fields.contains_key(*name)).map(|name| format!("{at}/{name} is missing"));
    let wrong = fields.iter().flat_map(|(name, value)| {
        let at = format!("{at}/{name}");
        match (schema["properties"].get(name), &schema["additionalProperties"]) {
            (Some(schema), _) | (None, schema @ Value::Object(_)) => faults(document, schema, value, &at),
            _ => vec![format!("{at} is not in the schema")],
        }
    });
    missing.chain(wrong).collect()
}

fn has_type(wanted: &Value, value: &Value) -> bool {
    let is = |wanted: &Value| match wanted.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => false,
    };
    match wanted {
        Value::Null => true,
        Value::Array(types) => types.iter().any(is),
        one => is(one),
    }
}

pub(crate) fn resolve<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => document.pointer(reference.trim_start_matches('#')).expect("a schema"),
        None => schema,
    }
}

/// Every object in an example: where it is, and its schema.
fn objects<'a>(document: &'a Value, schema: &'a Value, example: &Value, at: &str) -> Vec<(String, &'a Value)> {
    let schema = resolve(document, schema);
    match example {
        Value::Object(fields) => {
            let inner = fields.iter().flat_map(|(name, value)| {
                objects(document, &schema["properties"][name], value, &format!("{at}/{name}"))
            });
            std::iter::once((at.to_owned(), schema)).chain(inner).collect()
        }
        Value::Array(items) => {
            items.first().map_or_else(Vec::new, |item| objects(document, &schema["items"], item, &format!("{at}/0")))
        }
        _ => Vec::new(),
    }
}

const UNKNOWN: &str = "unheardOf";

/// The fields that the code takes at `at`: its error names them.
async fn taken(api: &Api, method: &Method, path: &str, token: &str, example: &Value, at: &str) -> BTreeSet<String> {
    let mut body = example.clone();
    body.pointer_mut(at).expect("an object")[UNKNOWN] = json!(0);
    let problem = api.expect(422, method.clone(), path, token, &body).await;
    assert_eq!(problem["errors"][0]["pointer"], format!("{at}/{UNKNOWN}"), "{method} {path}: {problem}");
    let detail = problem["errors"][0]["detail"].as_str().expect("text");
    let named = detail.split('`').skip(1).step_by(2).map(str::to_owned);
    named.filter(|name| name != UNKNOWN).collect()
}

/// Whether the code asks for `field` at `at`.
async fn is_asked_for(api: &Api, call: (&Method, &str, &str), example: &Value, at: &str, field: &str) -> bool {
    let (method, path, token) = call;
    let mut body = example.clone();
    body.pointer_mut(at).and_then(Value::as_object_mut).expect("an object").remove(field);
    let (_, answer) = api.call(method.clone(), path, token, &body).await;
    let errors = answer["errors"].as_array().into_iter().flatten();
    errors.filter_map(|error| error["detail"].as_str()).any(|detail| detail == format!("missing field `{field}`"))
}

/// An id that there is, where the route asks for one.
async fn id_for(api: &Api, (admin, student): (&str, &str), seeded: &Value, route: &str) -> String {
    let exam = seeded["examId"].as_str().expect("an id");
    if route.contains("/exams/") {
        exam.to_owned()
    } else if route.contains("/questions/") {
        let sheet = format!("/exams/{exam}/questions?include=answers");
        let sheet = api.expect(200, Method::GET, &sheet, admin, &Value::Null).await;
        sheet["questions"][0]["id"].as_str().expect("a question").to_owned()
    } else if route.contains("/attempts/") {
        let attempts = format!("/exams/{exam}/attempts");
        let (status, answer) = api.call(Method::POST, &attempts, student, &Value::Null).await;
        let id = if status == 201 { &answer["id"] } else { &answer["attemptId"] };
        id.as_str().expect("an attempt").to_owned()
    } else {
        "00000000-0000-0000-0000-000000000000".to_owned()
    }
}

#[tokio::test]
async fn every_example_fits_its_schema() {
    let api = Api::start().await;
    let document: Value = api.get("/openapi.json").await.json().await.expect("JSON");
    for (name, schema) in document["components"]["schemas"].as_object().expect("schemas") {
        for example in schema["examples"].as_array().into_iter().flatten() {
            let faults = faults(&document, schema, example, "");
            assert!(faults.is_empty(), "{name}: {faults:?}");
        }
    }
    api.stop().await;
}

#[tokio::test]
async fn every_body_is_taken_as_its_schema_says() {
    let api = Api::start().await;
    let (admin, document) = (api.admin().await, api.get("/openapi.json").await.json::<Value>().await.expect("JSON"));
    let seeded = api.seed().await;
    let student = api.log_in(&seeded["studentEmails"][0]).await;
    let mut checked = 0;
    for (route, operations) in document["paths"].as_object().expect("paths") {
        // Who may do it is decided first, and by what there is.
        let id = id_for(&api, (&admin, &student), &seeded, route).await;
        let path = route.trim_start_matches("/api/v1").replace("{id}", &id);
        let path = path.replace("{student}", seeded["studentIds"][0].as_str().expect("an id"));
        let is_students = (route.contains("/attempts") && !route.ends_with("/deadline")) || route.ends_with("/seat");
        let token = if is_students { &student } else { &admin };
        for (method, operation) in operations.as_object().expect("operations") {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            let method: Method = method.to_uppercase().parse().expect("a method");
            let example = &resolve(&document, schema)["examples"][0];
            for (at, schema) in objects(&document, schema, example, "") {
                let described: BTreeSet<_> =
                    schema["properties"].as_object().expect("fields").keys().cloned().collect();
                assert_eq!(taken(&api, &method, &path, token, example, &at).await, described, "{method} {route} {at}");
                for field in example.pointer(&at).and_then(Value::as_object).expect("an object").keys() {
                    let required = schema["required"].as_array().is_some_and(|all| all.contains(&json!(field)));
                    let asked = is_asked_for(&api, (&method, &path, token), example, &at, field).await;
                    assert_eq!(asked, required, "{method} {route} {at}/{field}");
                }
                checked += 1;
            }
        }
    }
    assert!(checked > 15, "{checked}");
    api.stop().await;
}
