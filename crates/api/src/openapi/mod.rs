//! The OpenAPI 3.1 document, made of the table of operations. `docs/openapi.json` is its copy; a test compares them,
//! and another calls every operation.

mod operations;

use serde_json::{Map, Value, json};

use operations::{OPERATIONS, Operation, Who};

/// Bodies, with an example each.
const SCHEMAS: &str = include_str!("schemas.json");

/// The document.
pub(crate) fn document() -> Value {
    let mut paths = Map::new();
    for operation in OPERATIONS {
        let path = paths.entry(format!("/api/v1{}", operation.path)).or_insert_with(|| json!({}));
        path[operation.method] = describe(operation);
    }
    let schemas: Value = serde_json::from_str(SCHEMAS).expect("a test reads it");
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Examhall",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Exams, attempts, results and the mails about them. Errors are problem documents (RFC 9457).",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}},
            "schemas": schemas,
        },
    })
}

/// The methods of a path under `/api/v1`.
pub(crate) fn methods_of(path: &str) -> Vec<String> {
    OPERATIONS.iter().filter(|operation| operation.path == path).map(|found| found.method.to_uppercase()).collect()
}

fn describe(operation: &Operation) -> Value {
    let mut described = json!({
        "operationId": operation.id,
        "summary": operation.summary,
        "tags": [operation.path.split('/').nth(1).unwrap_or_default()],
        "responses": responses(operation),
    });
    if operation.who != Who::Anyone {
        described["security"] = json!([{"bearer": []}]);
        described["description"] = json!(format!("For: {}.", operation.who.words()));
    }
    let parameters: Vec<_> =
        path_parameter(operation).into_iter().chain(operation.takes.iter().map(parameter)).collect();
    if !parameters.is_empty() {
        described["parameters"] = json!(parameters);
    }
    if let Some(schema) = operation.body {
        described["requestBody"] = json!({"required": true, "content": content("application/json", schema)});
    }
    described
}

fn responses(operation: &Operation) -> Value {
    let mut success = json!({"description": "Done"});
    match operation.answer {
        "" => {}
        "csv" => success["content"] = json!({"text/csv": {"schema": {"type": "string"}}}),
        schema => success["content"] = content("application/json", schema),
    }
    let problem =
        json!({"description": "Not done, and why", "content": content("application/problem+json", "Problem")});
    let mut responses = Map::new();
    responses.insert(operation.status.to_string(), success);
    if operation.cached {
        responses.insert("304".to_owned(), json!({"description": "If-None-Match names the current version"}));
    }
    for status in operation.problems() {
        responses.insert(status.to_string(), problem.clone());
    }
    responses.into()
}

fn content(media_type: &str, schema: &str) -> Value {
    json!({media_type: {"schema": {"$ref": format!("#/components/schemas/{schema}")}}})
}

fn path_parameter(operation: &Operation) -> Option<Value> {
    let is_mail = operation.path.starts_with("/emails");
    let schema = if is_mail { json!({"type": "string"}) } else { json!({"type": "string", "format": "uuid"}) };
    let parameter = json!({"name": "id", "in": "path", "required": true, "schema": schema});
    operation.path.contains("{id}").then_some(parameter)
}

fn parameter(name: &&str) -> Value {
    let (place, schema) = match *name {
        "limit" => ("query", json!({"type": "integer", "minimum": 1, "maximum": 100, "default": 20})),
        "include" => ("query", json!({"type": "string", "enum": ["answers"]})),
        "force" => ("query", json!({"type": "boolean", "default": false})),
        "state" => ("query", json!({"$ref": "#/components/schemas/JobState"})),
        "If-Match" | "If-None-Match" | "Idempotency-Key" => ("header", json!({"type": "string"})),
        _ => ("query", json!({"type": "string"})),
    };
    json!({"name": name, "in": place, "required": false, "schema": schema})
}

#[cfg(test)]
mod tests {
    use super::*;

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
