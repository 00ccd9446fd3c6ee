//! The OpenAPI 3.1 document. Operations are described by the types of their handlers, bodies by schemas derived from
//! their types. `docs/openapi.json` is its copy; a test compares them, and another calls every operation.

mod description;
mod examples;
mod headers;
mod operation;
mod schemas;

use schemars::JsonSchema;
use serde_json::{Map, Value, json};

pub(crate) use description::{Access, Answer, Description, Input};
pub(crate) use operation::{Operation, delete, get, patch, post, put};
use schemas::Schemas;
pub(crate) use schemas::schema_of;

/// The document of these operations, whose errors are a `P`.
pub(crate) fn document<P: JsonSchema>(operations: &[Operation]) -> Value {
    let (mut schemas, mut paths) = (Schemas::new(), Map::new());
    schemas.of_response::<P>();
    for operation in operations {
        let path = paths.entry(format!("/api/v1{}", operation.path)).or_insert_with(|| json!({}));
        path[operation.method.as_str().to_lowercase()] = describe(operation, &mut schemas);
    }
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
            "headers": headers::components(),
            "schemas": schemas.finish(),
        },
    })
}

fn describe(operation: &Operation, schemas: &mut Schemas) -> Value {
    let mut description = Description::new(schemas);
    (operation.describe)(&mut description);
    let mut described = description.finish(operation.method == "GET");
    described["operationId"] = json!(operation.id);
    described["summary"] = json!(operation.summary);
    described["tags"] = json!([operation.path.split('/').nth(1).unwrap_or_default()]);
    described
}
