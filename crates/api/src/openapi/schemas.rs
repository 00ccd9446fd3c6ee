//! JSON Schemas of bodies and parameters, derived from their types.

use schemars::{JsonSchema, Schema, SchemaGenerator, generate::SchemaSettings, transform::RecursiveTransform};
use serde_json::{Map, Value, json};

use super::examples;

/// Collects the schemas of a document.
pub(super) struct Schemas {
    requests: SchemaGenerator,
    responses: SchemaGenerator,
}

/// The schema of a body that is read, with all that it refers to.
pub(crate) fn schema_of<T: JsonSchema>() -> Value {
    settings().into_generator().into_root_schema_for::<T>().to_value()
}

fn settings() -> SchemaSettings {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let settings = settings.with_transform(RecursiveTransform(unwrap_lines));
    settings.with_transform(RecursiveTransform(merge_variants)).with_transform(RecursiveTransform(words))
}

impl Schemas {
    pub(super) fn new() -> Self {
        let responses = settings().for_serialize().with_transform(RecursiveTransform(never_null));
        Self { requests: settings().into_generator(), responses: responses.into_generator() }
    }

    /// A reference to the schema of a body that is read.
    pub(super) fn of_request<T: JsonSchema>(&mut self) -> Value {
        self.requests.subschema_for::<T>().to_value()
    }

    /// A reference to the schema of a body that is written.
    pub(super) fn of_response<T: JsonSchema>(&mut self) -> Value {
        self.responses.subschema_for::<T>().to_value()
    }

    /// The fields of `T` as parameters behind the question mark.
    pub(super) fn parameters<T: JsonSchema>(&self) -> Vec<Value> {
        let settings = self.requests.settings().clone().with(|settings| settings.inline_subschemas = true);
        let mut schema =
            settings.with_transform(RecursiveTransform(never_null)).into_generator().root_schema_for::<T>();
        let fields = schema.get_mut("properties").and_then(Value::as_object_mut).map(std::mem::take);
        let parameter = |(name, mut schema): (String, Value)| {
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            json!({"name": name, "in": "query", "required": false, "schema": schema, "description": description})
        };
        fields.into_iter().flatten().map(parameter).collect()
    }

    /// All that were referred to, by name. Objects have an example.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        let mut all = self.requests.take_definitions(true);
        for (name, schema) in self.responses.take_definitions(true) {
            let known = all.insert(name.clone(), schema.clone());
            debug_assert!(known.is_none_or(|known| known == schema), "two types are named {name}");
        }
        examples::add_to(&mut all);
        all
    }
}

/// Makes one line of each paragraph of a description: comments are wrapped.
fn unwrap_lines(schema: &mut Schema) {
    if let Some(Value::String(text)) = schema.get_mut("description") {
        let paragraphs: Vec<_> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        *text = paragraphs.join("\n\n");
    }
}

/// Brings the fields that all variants have into each of them: so each is whole.
fn merge_variants(schema: &mut Schema) {
    if schema.get("properties").is_none() || schema.get("oneOf").is_none() {
        return;
    }
    let (common, variants) = (schema.remove("properties").unwrap_or_default(), schema.remove("oneOf"));
    let Some(Value::Array(mut variants)) = variants else { return };
    let required = schema.remove("required").unwrap_or_default();
    let all = |one: &Value| one.as_array().cloned().unwrap_or_default();
    for variant in &mut variants {
        let mut fields = common.clone();
        if let (Some(fields), Some(own)) = (fields.as_object_mut(), variant["properties"].as_object()) {
            fields.extend(own.clone());
        }
        variant["properties"] = fields;
        variant["required"] = [all(&required), all(&variant["required"])].concat().into();
    }
    schema.insert("oneOf".to_owned(), variants.into());
}

/// Writes an enumeration of words as `enum`, with what each means in the description.
fn words(schema: &mut Schema) {
    let Some(variants) = schema.get("oneOf").and_then(Value::as_array) else { return };
    let consts: Vec<_> = variants.iter().filter_map(|variant| variant["const"].as_str().map(str::to_owned)).collect();
    if consts.len() < variants.len() {
        return;
    }
    let meaning =
        |variant: &Value| Some(format!("`{}`: {}", variant["const"].as_str()?, variant["description"].as_str()?));
    let meanings: Vec<_> = variants.iter().filter_map(meaning).collect();
    let own = schema.get("description").and_then(Value::as_str).map(str::to_owned);
    let description: Vec<_> = own.into_iter().chain(meanings).collect();
    schema.remove("oneOf");
    schema.insert("type".to_owned(), json!("string"));
    schema.insert("enum".to_owned(), json!(consts));
    schema.insert("description".to_owned(), json!(description.join("\n\n")));
}

/// What may be absent is absent where there is none, and never `null`.
fn never_null(schema: &mut Schema) {
    let required = schema.get("required").cloned().unwrap_or_default();
    let is_required = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|one| one == name));
    let Some(fields) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (_, field) in fields.iter_mut().filter(|(name, _)| !is_required(name)) {
        without_null(field);
    }
}

fn without_null(schema: &mut Value) {
    let null = |one: &Value| one == "null" || one["type"] == "null";
    if let Some(types) = schema["type"].as_array() {
        let types: Vec<_> = types.iter().filter(|one| !null(one)).cloned().collect();
        schema["type"] = if let [one] = &types[..] { one.clone() } else { types.into() };
    }
    if let Some(values) = schema.get_mut("enum").and_then(Value::as_array_mut) {
        values.retain(|value| !value.is_null());
    }
    let Some(choices) = schema.get_mut("anyOf").and_then(Value::as_array_mut) else { return };
    choices.retain(|one| !null(one));
    if let [one] = &mut choices[..] {
        let one = one.take();
        if let (Some(fields), Value::Object(one)) = (schema.as_object_mut(), one) {
            fields.remove("anyOf");
            fields.extend(one);
        }
    }
}
