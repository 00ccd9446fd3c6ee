//! Holds a value against a JSON Schema, and makes it fit.

use examhall_core::Timestamp;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use super::problem::FieldError;

/// Most faults that are named.
pub(super) const MOST: usize = 20;
/// Longest detail, in characters: it repeats what was sent.
const LONGEST: usize = 300;

/// What is wrong with a value. In each place that does not fit it holds something that does afterwards, unless there are
/// [`MOST`] faults.
pub(super) fn faults_of(schema: &Value, value: &mut Value) -> Vec<FieldError> {
    let mut check = Check { root: schema, faults: Vec::new() };
    check.visit(schema, value, "");
    check.faults
}

struct Check<'a> {
    /// Where references lead.
    root: &'a Value,
    faults: Vec<FieldError>,
}

impl<'a> Check<'a> {
    fn visit(&mut self, schema: &'a Value, value: &mut Value, at: &str) {
        let schema = self.choice(self.resolved(schema), value);
        if self.is_full() {
            return;
        }
        if !self.has_type(schema, value) {
            let expected = self.kinds(schema).join(" or ");
            return self.refuse(schema, value, at, format!("invalid type: {}, expected {expected}", shown(value)));
        }
        match value {
            Value::Object(fields) => self.visit_fields(schema, fields, at),
            Value::Array(items) => {
                for (n, item) in items.iter_mut().enumerate() {
                    if self.is_full() {
                        return;
                    }
                    self.visit(&schema["items"], item, &format!("{at}/{n}"));
                }
            }
            scalar => {
                if let Some(detail) = fault_of(schema, scalar) {
                    self.refuse(schema, scalar, at, detail);
                }
            }
        }
    }

    fn visit_fields(&mut self, schema: &'a Value, fields: &mut Map<String, Value>, at: &str) {
        let none = Map::new();
        let known = schema["properties"].as_object().unwrap_or(&none);
        if schema["additionalProperties"] == false {
            fields.retain(|name, _| {
                let is_known = known.contains_key(name);
                if !is_known && !self.is_full() {
                    let detail = format!("unknown field `{name}`, expected {}", any_of(known.keys()));
                    self.add(&format!("{at}/{}", escaped(name)), detail);
                }
                is_known
            });
        }
        for (name, field) in schema["properties"].as_object().into_iter().flatten() {
            let at = format!("{at}/{}", escaped(name));
            if let Some(value) = fields.get_mut(name) {
                self.visit(field, value, &at);
            } else if schema["required"].as_array().is_some_and(|names| names.iter().any(|one| one == name)) {
                fields.insert(name.clone(), self.stand_in(field));
                self.add(&at, format!("missing field `{name}`"));
            }
        }
    }

    fn is_full(&self) -> bool {
        self.faults.len() >= MOST
    }

    fn refuse(&mut self, schema: &Value, value: &mut Value, at: &str, detail: String) {
        *value = self.stand_in(schema);
        self.add(at, detail);
    }

    fn add(&mut self, pointer: &str, detail: String) {
        if !self.is_full() {
            self.faults.push(FieldError { pointer: pointer.to_owned(), detail: shortened(detail) });
        }
    }

    /// Something that fits the schema.
    fn stand_in(&self, schema: &Value) -> Value {
        let schema = self.resolved(schema);
        if let Some(first) = alternatives(schema).first() {
            return self.stand_in(first);
        }
        let kind = schema["type"].as_array().map_or(&schema["type"], |kinds| &kinds[0]);
        match (kind.as_str(), schema["format"].as_str()) {
            (Some("string"), Some("uuid")) => json!(Uuid::nil()),
            (Some("string"), Some("date-time")) => json!(Timestamp::from_millis(0)),
            (Some("string"), _) => schema.get("enum").map_or(json!(""), |words| words[0].clone()),
            (Some("integer" | "number"), _) => json!(0),
            (Some("boolean"), _) => json!(false),
            (Some("array"), _) => json!([]),
            (Some("object"), _) => {
                let names = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
                let fields = names.map(|name| (name.to_owned(), self.stand_in(&schema["properties"][name])));
                fields.collect::<Map<_, _>>().into()
            }
            _ => Value::Null,
        }
    }

    /// Of several alternatives the one that the value may be meant for.
    fn choice(&self, schema: &'a Value, value: &Value) -> &'a Value {
        let fitting = alternatives(schema).iter().find(|one| self.has_type(one, value));
        fitting.map_or(schema, |one| self.choice(self.resolved(one), value))
    }

    fn has_type(&self, schema: &Value, value: &Value) -> bool {
        let schema = self.resolved(schema);
        match (&schema["type"], alternatives(schema)) {
            (Value::Array(kinds), _) => kinds.iter().any(|kind| is(kind, value)),
            (Value::Null, []) => true,
            (Value::Null, several) => several.iter().any(|one| self.has_type(one, value)),
            (kind, _) => is(kind, value),
        }
    }

    /// The kinds of value that the schema takes, in words; `null` is not worth a word.
    fn kinds(&self, schema: &Value) -> Vec<&'static str> {
        let schema = self.resolved(schema);
        let several = alternatives(schema).iter().flat_map(|one| self.kinds(one));
        let kinds = schema["type"].as_array().map_or(std::slice::from_ref(&schema["type"]), Vec::as_slice);
        let words = kinds.iter().filter_map(|kind| match kind.as_str()? {
            "string" => Some("a string"),
            "integer" => Some("a whole number"),
            "number" => Some("a number"),
            "boolean" => Some("true or false"),
            "array" => Some("an array"),
            "object" => Some("an object"),
            _ => None,
        });
        several.chain(words).collect()
    }

    fn resolved<'b>(&self, schema: &'b Value) -> &'b Value
    where
        'a: 'b,
    {
        let target = schema["$ref"].as_str().and_then(|reference| self.root.pointer(reference.trim_start_matches('#')));
        target.unwrap_or(schema)
    }
}

fn alternatives(schema: &Value) -> &[Value] {
    let several = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
    several.map_or(&[], Vec::as_slice)
}

fn is(kind: &Value, value: &Value) -> bool {
    match kind.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("null") => value.is_null(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        _ => true,
    }
}

/// What is wrong with a text or a number of the right type.
fn fault_of(schema: &Value, value: &Value) -> Option<String> {
    if let (Some(words), Some(word)) = (schema["enum"].as_array(), value.as_str()) {
        let is_known = words.iter().any(|known| known == word);
        return (!is_known)
            .then(|| format!("unknown value `{word}`, expected {}", any_of(words.iter().filter_map(Value::as_str))));
    }
    match (schema["format"].as_str()?, value) {
        ("uuid", Value::String(text)) => Uuid::parse_str(text).err().map(|error| error.to_string()),
        ("date-time", Value::String(text)) => text.parse::<Timestamp>().err().map(|error| error.to_string()),
        (format, Value::Number(_)) => {
            // Beyond it Rust's type holds no number; narrower limits are checked elsewhere.
            let is_held = match format {
                "uint8" => value.as_u64().is_some_and(|number| u8::try_from(number).is_ok()),
                "uint32" => value.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
                "uint64" => value.is_u64(),
                "int64" => value.is_i64(),
                _ => true,
            };
            let bound =
                |word: &str, name: &str| schema.get(name).map(|bound| format!(" {word} {bound}")).unwrap_or_default();
            let range = || bound("from", "minimum") + &bound("to", "maximum");
            (!is_held).then(|| format!("invalid value: {}, expected a whole number{}", shown(value), range()))
        }
        _ => None,
    }
}

/// A value as it is named in a sentence.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => format!("boolean `{value}`"),
        Value::Number(number) if number.is_f64() => format!("number `{number}`"),
        Value::Number(number) => format!("integer `{number}`"),
        Value::String(text) => format!("string {text:?}"),
        Value::Array(_) => "array".to_owned(),
        Value::Object(_) => "object".to_owned(),
    }
}

fn any_of(names: impl Iterator<Item: AsRef<str>>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{}`", name.as_ref())).collect();
    match &names[..] {
        [] => "no field".to_owned(),
        [one] => one.clone(),
        [one, other] => format!("{one} or {other}"),
        several => format!("one of {}", several.join(", ")),
    }
}

/// A field as a part of a JSON Pointer (RFC 6901).
pub(super) fn escaped(field: &str) -> String {
    field.replace('~', "~0").replace('/', "~1")
}

/// A detail that is not longer than it may be.
pub(super) fn shortened(detail: String) -> String {
    match detail.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &detail[..end]),
        None => detail,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openapi::schema_of;
    use examhall_core::{AnswerValue, QuestionId};
    use schemars::JsonSchema;
    use serde::Deserialize;

    #[expect(dead_code, reason = "its schema is looked at alone")]
    #[derive(JsonSchema, Deserialize)]
    #[serde(rename_all = "camelCase", deny_unknown_fields)]
    struct Body {
        id: QuestionId,
        at: Option<Timestamp>,
        percent: Option<u8>,
        value: Option<AnswerValue>,
        kind: Option<Kind>,
        parts: Option<Vec<Part>>,
    }

    #[derive(JsonSchema, Deserialize)]
    #[serde(rename_all = "camelCase")]
    enum Kind {
        One,
        Two,
    }

    #[expect(dead_code, reason = "its schema is looked at alone")]
    #[derive(JsonSchema, Deserialize)]
    struct Part {
        text: String,
    }

    fn faults(mut body: Value) -> Vec<(String, String)> {
        let schema = schema_of::<Body>();
        let faults = faults_of(&schema, &mut body);
        assert!(serde_json::from_value::<Body>(body.clone()).is_ok() || faults.len() == MOST, "{body} fits now");
        faults.into_iter().map(|fault| (fault.pointer, fault.detail)).collect()
    }

    fn check(field: &str, value: Value, detail: &str) {
        let mut body = json!({"id": Uuid::nil()});
        body[field] = value;
        let expected = if detail.is_empty() { vec![] } else { vec![(format!("/{field}"), detail.to_owned())] };
        assert_eq!(faults(body), expected);
    }

    #[test]
    fn what_fits_has_no_fault() {
        let whole = json!({"at": "2026-11-23T09:00:00Z", "percent": 255, "value": 1.5, "kind": "two", "parts": []});
        for (field, value) in whole.as_object().expect("an object") {
            check(field, value.clone(), "");
            check(field, Value::Null, "");
        }
    }

    #[test]
    fn each_kind_of_fault_has_its_words() {
        check("percent", json!(256), "invalid value: integer `256`, expected a whole number from 0 to 255");
        check("percent", json!(-1), "invalid value: integer `-1`, expected a whole number from 0 to 255");
        check("percent", json!("1"), "invalid type: string \"1\", expected a whole number");
        check("kind", json!("three"), "unknown value `three`, expected `one` or `two`");
        check("kind", json!(3), "invalid type: integer `3`, expected a string");
        check("value", json!([]), "invalid type: array, expected true or false or a number or a string");
        assert_eq!(faults(json!({"id": "x", "at": "y"})).len(), 2);
        assert_eq!(faults(json!({})), [("/id".into(), "missing field `id`".into())]);
        let nested = faults(json!({"id": null, "parts": [{}, 7, {"text": "a"}], "a/b~": 1}));
        let pointers: Vec<_> = nested.iter().map(|(pointer, _)| pointer.as_str()).collect();
        assert_eq!(pointers, ["/a~1b~0", "/id", "/parts/0/text", "/parts/1"]);
    }

    #[test]
    fn countless_faults_are_not_all_looked_for() {
        let fields: Map<_, _> = (0..100_000).map(|n| (format!("f{n}"), Value::Null)).collect();
        assert_eq!(faults(fields.into()).len(), MOST);
    }
}
