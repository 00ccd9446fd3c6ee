//! What the types of a handler say of its operation.

use std::collections::{BTreeMap, BTreeSet};

use actix_web::{Either, HttpRequest, http::StatusCode, web};
use examhall_core::Role;
use schemars::JsonSchema;
use serde_json::{Map, Value, json};

use super::{headers, schemas::Schemas};

/// What a handler takes: each of its parameters adds what it needs.
pub(crate) trait Input {
    /// Adds it.
    fn describe(description: &mut Description);
}

/// What a handler answers.
pub(crate) trait Answer {
    /// Adds it.
    fn describe(description: &mut Description);
}

/// Clients that an operation is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// Everybody who has logged in, and may see it.
    User,
    Student,
    /// Authors; of what is there already its own author.
    Author,
    /// These, of those who run the platform.
    Operations(&'static [Role]),
}

impl Access {
    const fn words(self) -> &'static str {
        match self {
            Self::User => "every account, as far as it may see it",
            Self::Student => "students",
            Self::Author => "the exam's author and administrators",
            Self::Operations([_]) => "administrators",
            Self::Operations([_, _]) => "operators and administrators",
            Self::Operations(_) => "viewers, operators and administrators",
        }
    }

    const fn roles(self) -> &'static [Role] {
        match self {
            Self::User => &Role::ALL,
            Self::Student => &[Role::Student],
            Self::Author => &[Role::Author, Role::Admin],
            Self::Operations(roles) => roles,
        }
    }
}

/// The description of one operation, while it is put together.
pub(crate) struct Description<'a> {
    schemas: &'a mut Schemas,
    access: Option<Access>,
    parameters: Vec<Value>,
    body: Option<Value>,
    answers: BTreeMap<u16, Success>,
    problems: BTreeSet<u16>,
    /// Headers that come with one kind of problem.
    problem_headers: Vec<(u16, &'static str, &'static str)>,
}

/// A response that is no problem.
#[derive(Default)]
struct Success {
    /// Media type and schema.
    contents: Vec<(&'static str, Value)>,
    headers: Vec<&'static str>,
}

impl<'a> Description<'a> {
    pub(super) fn new(schemas: &'a mut Schemas) -> Self {
        Self {
            schemas,
            access: None,
            parameters: Vec::new(),
            body: None,
            answers: BTreeMap::new(),
            // Any address may be asked for too often, too slowly, or while the database is away.
            problems: [400, 404, 408, 429, 500, 503].into(),
            problem_headers: Vec::new(),
        }
    }

    pub(crate) fn access(&mut self, access: Access) {
        // The narrowest counts: guards name it after the login that they need.
        if self.access.is_none_or(|known| access.roles().len() < known.roles().len()) {
            self.access = Some(access);
        }
        self.problems.extend([401, 403]);
    }

    /// Clients that the operation is for.
    pub(super) const fn who(&self) -> Option<Access> {
        self.access
    }

    /// Credentials are in the body.
    pub(crate) fn credentials(&mut self) {
        self.problems.extend([401, 403]);
    }

    /// Adds a part of the path that is a `T`.
    pub(crate) fn path<T: JsonSchema>(&mut self, name: &str) {
        let schema = self.schemas.of_request::<T>();
        let is_new = self.parameters.iter().all(|known| known["name"] != name);
        if is_new {
            self.parameters.push(json!({"name": name, "in": "path", "required": true, "schema": schema}));
        }
    }

    /// Adds the fields of `T` as parameters behind the question mark.
    pub(crate) fn query<T: JsonSchema>(&mut self) {
        self.parameters.extend(self.schemas.parameters::<T>());
        self.problems.insert(422);
    }

    /// Adds a header of the request, by its name.
    pub(crate) fn header(&mut self, name: &'static str) {
        self.parameters.push(headers::of_request(name));
        self.problems.insert(422);
    }

    /// Adds a header of the request that is never refused, by its name.
    pub(crate) fn optional_header(&mut self, name: &'static str) {
        self.parameters.push(headers::of_request(name));
    }

    pub(crate) fn problem(&mut self, status: StatusCode) {
        self.problems.insert(status.as_u16());
    }

    /// Adds a header that a problem of this status may have.
    pub(crate) fn problem_header(&mut self, status: StatusCode, name: &'static str, description: &'static str) {
        self.problem(status);
        self.problem_headers.push((status.as_u16(), name, description));
    }

    /// Adds a JSON body that is a `T`.
    pub(crate) fn body<T: JsonSchema>(&mut self) {
        let schema = self.schemas.of_request::<T>();
        self.body = Some(json!({"required": true, "content": {"application/json": {"schema": schema}}}));
        self.problems.extend([413, 415, 422]);
    }

    /// Says that the body may also be a text of this type.
    pub(crate) fn or_text(&mut self, media_type: &str) {
        if let Some(body) = &mut self.body {
            body["content"][media_type] = json!({"schema": {"type": "string"}});
        }
    }

    /// Adds a JSON body that is a `T`, or none.
    pub(crate) fn optional_body<T: JsonSchema>(&mut self) {
        self.body::<T>();
        if let Some(body) = &mut self.body {
            body["required"] = json!(false);
        }
    }

    /// Adds a body of JSON that others define.
    pub(crate) fn foreign_body(&mut self) {
        self.body = Some(json!({"required": true, "content": {"application/json": {"schema": {"type": "object"}}}}));
        self.problems.insert(413);
    }

    /// Adds an answer without a body.
    pub(crate) fn answer(&mut self, status: StatusCode, headers: &[&'static str]) {
        let success = self.answers.entry(status.as_u16()).or_default();
        for name in headers {
            if !success.headers.contains(name) {
                success.headers.push(name);
            }
        }
    }

    /// Adds an answer whose body is a `T`.
    pub(crate) fn json<T: JsonSchema>(&mut self, status: StatusCode, headers: &[&'static str]) {
        let schema = self.schemas.of_response::<T>();
        self.content(status, headers, "application/json", schema);
    }

    /// Adds an answer of another kind.
    pub(crate) fn content(
        &mut self,
        status: StatusCode,
        headers: &[&'static str],
        media_type: &'static str,
        schema: Value,
    ) {
        self.answer(status, headers);
        let success = self.answers.entry(status.as_u16()).or_default();
        if !success.contents.contains(&(media_type, schema.clone())) {
            success.contents.push((media_type, schema));
        }
    }

    /// The operation as OpenAPI writes it, but for its name.
    pub(super) fn finish(mut self, is_read: bool) -> Value {
        if !is_read {
            self.problems.insert(409);
        }
        let mut described = json!({"responses": self.responses()});
        if let Some(access) = self.access {
            let roles: Vec<_> = access.roles().iter().map(|role| role.as_str()).collect();
            described["security"] = json!([{"bearer": roles}]);
            described["description"] = json!(format!("For: {}.", access.words()));
        }
        if !self.parameters.is_empty() {
            described["parameters"] = json!(self.parameters);
        }
        if let Some(body) = self.body {
            described["requestBody"] = body;
        }
        described
    }

    fn responses(&self) -> Value {
        let successes = self.answers.iter().map(|(status, success)| (status.to_string(), success.to_value(*status)));
        let problems = self.problems.iter().map(|status| {
            let mut headers = headers::references(headers::of_problem(*status));
            for (_, name, description) in self.problem_headers.iter().filter(|(of, ..)| of == status) {
                headers[*name] = json!({"description": description, "schema": {"type": "string"}});
            }
            let problem = json!({
                "description": reason(*status),
                "headers": headers,
                "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
            });
            (status.to_string(), problem)
        });
        successes.chain(problems).collect::<Map<_, _>>().into()
    }
}

impl Success {
    fn to_value(&self, status: u16) -> Value {
        let mut response = json!({"description": reason(status), "headers": headers::references(&self.headers)});
        if !self.contents.is_empty() {
            let mut content = Map::new();
            for (media_type, _) in &self.contents {
                let schemas: Vec<_> =
                    self.contents.iter().filter(|(of, _)| of == media_type).map(|(_, of)| of).collect();
                let schema = if let [one] = schemas[..] { one.clone() } else { json!({"anyOf": schemas}) };
                content.insert((*media_type).to_owned(), json!({"schema": schema}));
            }
            response["content"] = content.into();
        }
        response
    }
}

fn reason(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Answer")
}

impl<T> Input for web::Data<T> {
    fn describe(_: &mut Description) {}
}

impl Input for HttpRequest {
    fn describe(_: &mut Description) {}
}

impl<T: Input, E> Input for Result<T, E> {
    fn describe(description: &mut Description) {
        T::describe(description);
    }
}

impl<T: Answer, E> Answer for Result<T, E> {
    fn describe(description: &mut Description) {
        T::describe(description);
    }
}

impl<A: Answer, B: Answer> Answer for Either<A, B> {
    fn describe(description: &mut Description) {
        A::describe(description);
        B::describe(description);
    }
}

impl<T: JsonSchema> Answer for web::Json<T> {
    fn describe(description: &mut Description) {
        description.json::<T>(StatusCode::OK, &[]);
    }
}

macro_rules! tuples {
    ($($($name:ident)+;)*) => {$(
        impl<$($name: Input),+> Input for ($($name,)+) {
            fn describe(description: &mut Description) {
                $($name::describe(description);)+
            }
        }
    )*};
}

tuples! {
    A;
    A B;
    A B C;
    A B C D;
    A B C D E;
}
