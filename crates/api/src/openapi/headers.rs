//! Headers that the document names.

use serde_json::{Map, Value, json};

/// Headers of responses: name, description, type, format, and whether each response that names it has it.
const OF_RESPONSES: &[(&str, &str, &str, &str, bool)] = &[
    ("Cache-Status", "Of answers from the cache (RFC 9211): `hit` or `fwd=miss`", "string", "", false),
    ("Content-Disposition", "Name of the file", "string", "", true),
    ("ETag", "Version of the answer, for `If-None-Match` and `If-Match`", "string", "", true),
    ("Location", "Address of what was made", "string", "uri-reference", true),
    ("Retry-After", "Seconds to wait before the next request", "integer", "", true),
    ("WWW-Authenticate", "Scheme of authentication", "string", "", true),
    ("X-Request-Id", "Id of the request in the server's log", "string", "uuid", true),
];

/// All headers of responses, as components.
pub(super) fn components() -> Value {
    let component = |(name, description, kind, format, required): &(&str, &str, &str, &str, bool)| {
        let mut schema = json!({"type": kind});
        if !format.is_empty() {
            schema["format"] = json!(format);
        }
        ((*name).to_owned(), json!({"description": description, "required": required, "schema": schema}))
    };
    OF_RESPONSES.iter().map(component).collect::<Map<_, _>>().into()
}

/// The `headers` of a response that has these, and the one that each has.
pub(super) fn references(names: &[&str]) -> Value {
    let names = names.iter().chain(&["X-Request-Id"]);
    let reference = |name: &&str| ((*name).to_owned(), json!({"$ref": format!("#/components/headers/{name}")}));
    names.map(reference).collect::<Map<_, _>>().into()
}

/// The headers of every problem with this status.
pub(super) const fn of_problem(status: u16) -> &'static [&'static str] {
    match status {
        401 => &["WWW-Authenticate"],
        429 | 503 => &["Retry-After"],
        _ => &[],
    }
}

/// A header that requests may have, as a parameter.
pub(super) fn of_request(name: &str) -> Value {
    let (description, schema) = match name {
        "Accept-Language" => ("Language of mails that the account has not chosen", json!({"type": "string"})),
        "If-Match" => ("`ETag`s that the change may overwrite, or `*`; without it, any", json!({"type": "string"})),
        "If-None-Match" => ("`ETag`s that are known already: then 304", json!({"type": "string"})),
        "Idempotency-Key" => (
            "Names the request: sent again with the same key, it is done once",
            json!({"type": "string", "minLength": 1, "maxLength": 200}),
        ),
        _ => ("", json!({"type": "string"})),
    };
    json!({"name": name, "in": "header", "required": false, "description": description, "schema": schema})
}
