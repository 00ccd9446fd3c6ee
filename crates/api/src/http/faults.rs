//! Everything that is wrong with a body at once, in words for whoever sent it.
//!
//! serde stops at the first field that it cannot take. What it could not take is replaced by something that it can, and
//! read again: so the next one is found.

use std::vec;

use garde::Validate;
use serde::de::{DeserializeOwned, Deserializer};
use serde_json::{Value, json};
use serde_path_to_error::{Path, Segment};

use super::{object::Object, problem::FieldError};

/// Most faults that are named.
const MOST: usize = 20;
/// Of larger bodies the first fault is named only: each is found by reading all of it again.
const LARGEST: usize = 64 * 1024;
/// Longest detail, in characters: serde repeats what it was sent.
const LONGEST: usize = 200;
const UNKNOWN: &str = "unknown field `";

/// Reads an object, or says what is wrong with it and where.
pub(super) fn read<'de, T: DeserializeOwned, D>(deserializer: D) -> Result<T, (FieldError, D::Error)>
where
    D: Deserializer<'de>,
{
    let read = serde_path_to_error::deserialize::<_, Object<T>>(deserializer).map(|Object(value)| value);
    read.map_err(|error| (fault(error.path(), &error.inner().to_string()), error.into_inner()))
}

/// What is over a limit.
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

/// `first` and every other fault of `body`, as far as they can be found.
pub(super) fn all<T: DeserializeOwned + Validate<Context = ()>>(body: &[u8], first: FieldError) -> Vec<FieldError> {
    let parsed = (body.len() <= LARGEST).then(|| serde_json::from_slice::<Value>(body).ok()).flatten();
    let Some(mut body) = parsed else { return vec![first] };
    let (mut faults, mut fault) = (Vec::<(FieldError, vec::IntoIter<_>)>::new(), first);
    loop {
        // One that is met again: what was taken in its place will not do either.
        let at = faults.iter().position(|(known, _)| known.pointer == fault.pointer).unwrap_or(faults.len());
        if at == faults.len() {
            faults.push((fault.clone(), stand_ins(&fault).into_iter()));
        }
        let is_put = faults[at].1.next().is_some_and(|stand_in| put(&mut body, &fault.pointer, stand_in).is_some());
        let named = faults.iter().map(|(fault, _)| fault.clone());
        if !is_put || faults.len() == MOST {
            return named.collect();
        }
        match read::<T, _>(&body) {
            Err((next, _)) => fault = next,
            Ok(whole) => {
                let is_new = |one: &FieldError| faults.iter().all(|(fault, _)| fault.pointer != one.pointer);
                return named.chain(violations(&whole).into_iter().filter(is_new)).collect();
            }
        }
    }
}

/// What may be taken in place of what was not: `None` for nothing at all.
fn stand_ins(fault: &FieldError) -> Vec<Option<Value>> {
    if fault.detail.starts_with(UNKNOWN) {
        return vec![None];
    }
    let id = "00000000-0000-0000-0000-000000000000";
    [json!(null), json!(""), json!(0), json!(false), json!([]), json!(id)].map(Some).to_vec()
}

/// Puts something else in a place of the body; `None` where there is no such place.
fn put(body: &mut Value, pointer: &str, stand_in: Option<Value>) -> Option<()> {
    let (parent, field) = pointer.rsplit_once('/')?;
    let field = field.replace("~1", "/").replace("~0", "~");
    match (body.pointer_mut(parent)?, stand_in) {
        (Value::Object(fields), Some(stand_in)) => drop(fields.insert(field, stand_in)),
        (Value::Object(fields), None) => drop(fields.remove(&field)?),
        (Value::Array(items), Some(stand_in)) => *items.get_mut(field.parse::<usize>().ok()?)? = stand_in,
        _ => return None,
    }
    Some(())
}

/// What is wrong, where serde says so.
pub(super) fn fault(path: &Path, error: &str) -> FieldError {
    let detail = error.rsplit_once(" at line ").map_or(error, |(detail, _)| detail);
    let mut pointer = pointer(path);
    // serde names these in its message only.
    let begins = [UNKNOWN, "missing field `", "duplicate field `"];
    let named = begins.iter().find_map(|begin| detail.strip_prefix(begin)).and_then(|rest| rest.split('`').next());
    if let Some(field) = named.map(escaped).filter(|field| !pointer.ends_with(&format!("/{field}"))) {
        pointer = format!("{pointer}/{field}");
    }
    FieldError { pointer, detail: in_plain_words(detail) }
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

/// serde speaks of Rust; whoever sends JSON need not.
fn in_plain_words(detail: &str) -> String {
    let words = [
        (": sequence,", ": array,"),
        (": map,", ": object,"),
        ("expected a sequence", "expected an array"),
        ("expected a map", "expected an object"),
        (": floating point `", ": number `"),
        ("unknown variant `", "unknown value `"),
    ];
    let plain = words.iter().fold(detail.to_owned(), |text, (rust, plain)| text.replacen(rust, plain, 1));
    let plain = match plain.rsplit_once("expected ") {
        Some((before, "u8" | "u32" | "u64" | "i64")) => format!("{before}expected a whole number"),
        Some((before, "f64")) => format!("{before}expected a number"),
        _ => plain,
    };
    match plain.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &plain[..end]),
        None => plain,
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
