//! Everything that is wrong with a body at once: the body is held against the JSON Schema of its type.
//!
//! serde stops at the first field that it cannot read, so the schema is asked once serde has refused a body. What does not
//! fit is replaced by something that does, so that limits can be checked, too.

use examhall_core::Timestamp;
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value, json};
use serde_path_to_error::{Path, Segment};
use uuid::Uuid;

use super::{object::Object, problem::FieldError};
use crate::openapi::schema_of;

/// Most faults that are named.
const MOST: usize = 20;
/// Longest detail, in characters: it repeats what was sent.
const LONGEST: usize = 200;

/// Everything that is wrong with a body that is JSON and no `T`.
pub(super) fn all<T>(body: &[u8]) -> Vec<FieldError>
where
    T: DeserializeOwned + Validate<Context = ()> + JsonSchema,
{
    let schema = schema_of::<T>();
    let mut check = Check { root: &schema, faults: Vec::new() };
    let Ok(mut value) = serde_json::from_slice(body) else { return vec![first::<T>(body)] };
    check.visit(&schema, &mut value, "");
    let mut faults = check.faults;
    if faults.is_empty() {
        return vec![first::<T>(body)]; // a schema cannot say that a field is given once
    }
    if let Ok(Object(whole)) = Object::<T>::deserialize(value) {
        let replaced: Vec<_> = faults.iter().map(|fault| fault.pointer.clone() + "/").collect();
        let was_sent = |one: &FieldError| !replaced.iter().any(|at| format!("{}/", one.pointer).starts_with(at));
        faults.extend(violations(&whole).into_iter().filter(was_sent));
        faults.truncate(MOST);
    }
    faults
}

/// Limits that are exceeded.
pub(super) fn violations<T: Validate<Context = ()>>(value: &T) -> Vec<FieldError> {
    let Err(report) = value.validate() else { return Vec::new() };
    let of = |(path, error): (garde::Path, garde::Error)| {
        let path = path.to_string();
        let parts = path.split(['.', '[', ']']).filter(|part| !part.is_empty());
        FieldError {
            pointer: parts.fold(String::new(), |pointer, part| pointer + "/" + &camel_case(part)),
            detail: error.to_string(),
        }
    };
    report.into_inner().into_iter().map(of).collect()
}

/// Holds a value against a schema, and makes it fit.
struct Check<'a> {
    /// Where references lead.
    root: &'a Value,
    faults: Vec<FieldError>,
}

impl<'a> Check<'a> {
    fn visit(&mut self, schema: &'a Value, value: &mut Value, at: &str) {
        let schema = self.choice(self.resolved(schema), value);
        if self.faults.len() == MOST {
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
            let unknown: Vec<_> = fields.keys().filter(|name| !known.contains_key(*name)).cloned().collect();
            for name in unknown {
                fields.remove(&name);
                self.add(
                    &format!("{at}/{}", escaped(&name)),
                    format!("unknown field `{name}`, expected {}", any_of(known.keys())),
                );
            }
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

    fn refuse(&mut self, schema: &Value, value: &mut Value, at: &str, detail: String) {
        *value = self.stand_in(schema);
        self.add(at, detail);
    }

    fn add(&mut self, pointer: &str, detail: String) {
        if self.faults.len() < MOST {
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

/// What serde says of a body that its schema takes.
fn first<T: DeserializeOwned>(body: &[u8]) -> FieldError {
    let mut json = serde_json::Deserializer::from_slice(body);
    match serde_path_to_error::deserialize::<_, Object<T>>(&mut json) {
        Err(error) => fault(error.path(), &error.inner().to_string()),
        Ok(_) => FieldError { pointer: String::new(), detail: "cannot be read".to_owned() },
    }
}

/// What is wrong, as serde says it.
pub(super) fn fault(path: &Path, error: &str) -> FieldError {
    let detail = error.rsplit_once(" at line ").map_or(error, |(detail, _)| detail);
    let mut pointer = pointer(path);
    // serde names it in its message only; a test of `body` holds it to these words.
    if let Some(field) = detail.strip_prefix("duplicate field `").and_then(|rest| rest.split('`').next()) {
        pointer = format!("{pointer}/{}", escaped(field));
    }
    FieldError { pointer, detail: shortened(detail.replacen("unknown variant `", "unknown value `", 1)) }
}

/// `choices[0].text` as a JSON Pointer (RFC 6901): `/choices/0/text`.
fn pointer(path: &Path) -> String {
    let segments = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(escaped(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    segments.fold(String::new(), |pointer, segment| pointer + "/" + &segment)
}

fn escaped(field: &str) -> String {
    field.replace('~', "~0").replace('/', "~1")
}

fn shortened(detail: String) -> String {
    match detail.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &detail[..end]),
        None => detail,
    }
}

/// garde names fields as Rust does: `pass_mark`; the body as JSON does: `passMark`.
fn camel_case(field: &str) -> String {
    let mut parts = field.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        let mut letters = part.chars();
        name + &letters.next().map(|letter| letter.to_ascii_uppercase()).into_iter().collect::<String>()
            + letters.as_str()
    })
}
