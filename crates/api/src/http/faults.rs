//! Everything that is wrong with a body at once: the body is held against the JSON Schema of its type.
//!
//! serde stops at the first field that it cannot read, so the schema is asked once serde has refused a body. What does not
//! fit is replaced by something that does, so that limits can be checked, too.

use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use serde_path_to_error::{Path, Segment};

use super::{object::Object, problem::FieldError, schema_check};
use crate::openapi::schema_of;

/// Everything that is wrong with a body that is JSON and no `T`.
pub(super) fn all<T>(body: &[u8]) -> Vec<FieldError>
where
    T: DeserializeOwned + Validate<Context = ()> + JsonSchema,
{
    let schema = schema_of::<T>();
    let Ok(mut value) = serde_json::from_slice(body) else { return vec![first::<T>(body)] };
    let mut faults = schema_check::faults_of(&schema, &mut value);
    if faults.is_empty() {
        return vec![first::<T>(body)]; // a schema cannot say that a field is given once
    }
    if let Ok(Object(whole)) = Object::<T>::deserialize(value) {
        let replaced: Vec<_> = faults.iter().map(|fault| fault.pointer.clone() + "/").collect();
        let was_sent = |one: &FieldError| !replaced.iter().any(|at| format!("{}/", one.pointer).starts_with(at));
        faults.extend(violations(&whole).into_iter().filter(was_sent));
        faults.truncate(schema_check::MOST);
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
        pointer = format!("{pointer}/{}", schema_check::escaped(field));
    }
    FieldError { pointer, detail: schema_check::shortened(detail.replacen("unknown variant `", "unknown value `", 1)) }
}

/// `choices[0].text` as a JSON Pointer (RFC 6901): `/choices/0/text`.
fn pointer(path: &Path) -> String {
    let segments = path.iter().filter_map(|segment| match segment {
        Segment::Seq { index } => Some(index.to_string()),
        Segment::Map { key } => Some(schema_check::escaped(key)),
        Segment::Enum { .. } | Segment::Unknown => None,
    });
    segments.fold(String::new(), |pointer, segment| pointer + "/" + &segment)
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
