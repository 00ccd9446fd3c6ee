//! Examples of objects, put together from those of their fields.

use serde_json::{Map, Value, json};

/// Gives every object without an example one.
pub(super) fn add_to(schemas: &mut Map<String, Value>) {
    let known = schemas.clone();
    for schema in schemas.values_mut().filter(|schema| schema["examples"].is_null()) {
        let example = example("", schema, &known);
        if example.is_object() {
            schema["examples"] = json!([example]);
        }
    }
}

/// An example of a field with this name: of an object, what it must have.
fn example(name: &str, schema: &Value, known: &Map<String, Value>) -> Value {
    let schema = resolved(schema, known);
    let given = [&schema["examples"][0], &schema["const"], &schema["enum"][0]];
    if let Some(given) = given.into_iter().find(|value| !value.is_null()) {
        return given.clone();
    }
    let choice = [&schema["oneOf"][0], &schema["anyOf"][0]].into_iter().find(|choice| choice.is_object());
    let types = &schema["type"];
    let kind = if types.is_array() { "null" } else { types.as_str().unwrap_or_default() };
    let fits = |sample: &Value| match kind {
        "integer" => sample.is_number(),
        "object" => sample.is_object(),
        "array" => !sample.is_number(),
        _ => true,
    };
    let sample = sample(name).filter(fits);
    match (sample, choice) {
        (Some(sample), _) if kind == "array" && !sample.is_array() => json!([sample]),
        (Some(sample), _) => fitted(sample, schema, known),
        (None, Some(choice)) => example(name, choice, known),
        (None, None) => match (kind, schema["format"].as_str()) {
            ("object", _) => {
                let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let field = |name: &str| (name.to_owned(), example(name, &schema["properties"][name], known));
                names.map(field).collect::<Map<_, _>>().into()
            }
            ("array", _) => {
                let count = schema["minItems"].as_u64().unwrap_or(1);
                (0..count).map(|_| example("", &schema["items"], known)).collect::<Vec<_>>().into()
            }
            ("string", Some("date-time")) => json!("2026-11-23T09:00:00.000Z"),
            ("string", Some("uuid")) => json!("018f4e3a-0000-7000-8000-000000000001"),
            ("string", _) => json!("text"),
            ("integer" | "number", _) => schema.get("minimum").cloned().unwrap_or(json!(0)),
            ("boolean", _) => json!(false),
            _ => Value::Null,
        },
    }
}

/// The sample without the fields that the schema does not name.
fn fitted(mut sample: Value, schema: &Value, known: &Map<String, Value>) -> Value {
    let schema = resolved(schema, known);
    match &mut sample {
        Value::Array(items) => items.iter_mut().for_each(|item| *item = fitted(item.take(), &schema["items"], known)),
        Value::Object(fields) => fields.retain(|name, _| schema["properties"].get(name).is_some()),
        _ => {}
    }
    sample
}

fn resolved<'a>(schema: &'a Value, known: &'a Map<String, Value>) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next());
    name.and_then(|name| known.get(name)).unwrap_or(schema)
}

/// Examples of fields that their schemas do not say; a name means the same in every body.
fn sample(name: &str) -> Option<Value> {
    Some(match name {
        "id" | "examId" | "userId" | "authorId" | "questionId" => json!("018f4e3a-0000-7000-8000-000000000001"),
        "requestId" => json!("018f4e3a-0000-7000-8000-000000000002"),
        "email" | "to" => json!("ada@example.com"),
        "name" => json!("Ada"),
        "password" => json!("correct horse"),
        "token" => json!("041kfn1Pm43zFMTt175YwEFYA6OhtApe7LrPyLnBnO4"),
        "accessToken" => json!("eyJhbGciOiJIUzI1NiJ9.e30.ZRrHA1JJJW8opsbCGfG_HACGpVUMN_a9IV7pAx_Zmeo"),
        "refreshToken" => json!("Zk1y0u8m0Vb3c1XW0k2Vh0bS1d6iYQeZ0x3tQd9bW2E"),
        "expiresIn" => json!(900),
        "message" => json!("Check your email"),
        "title" => json!("Algebra"),
        "description" => json!("Sums and products"),
        "durationMinutes" => json!(90),
        "passMark" => json!(50),
        "deadline" => json!("2026-11-23T10:30:00.000Z"),
        "text" => json!("2 + 2?"),
        "points" => json!(1.0),
        "priority" => json!(5),
        "choices" => json!([
            {"id": "a", "text": "four", "correct": true},
            {"id": "b", "text": "five", "correct": false},
        ]),
        "version" => json!(7),
        "seq" | "attempts" => json!(3),
        "score" => json!(33.5),
        "maxScore" => json!(40.0),
        "percent" => json!(83.75),
        "passed" => json!(true),
        "jobId" => json!("m-018f4e3a-0000-7000-8000-000000000001"),
        "subject" => json!("Exam moved"),
        "html" => json!("<p>To Monday</p>"),
        _ => return None,
    })
}
