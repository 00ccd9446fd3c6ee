//! `/exams/{id}/roster`: the students that may sit an exam, by address.

use std::{collections::HashMap, pin::Pin};

use actix_web::{FromRequest, HttpMessage, HttpRequest, dev::Payload, http::StatusCode, web};
use examhall_core::{EmailAddress, Profile, Timestamp};
use examhall_store::{Listed, RosterChange, RosterEntry, Seat, SeatSource};
use garde::Validate;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{
    http::{
        authorized::Authorized,
        body::{bytes, parse},
        csv_reader,
        guards::OwnedExam,
        list::{Items, Paging},
        object::objects,
        problem::{FieldError, Problem},
        respond::NoContent,
        text::is_name,
    },
    openapi::{Description, Input, Operation, delete, get, post, put},
    state::{State, now},
};

/// Its operations.
pub(super) fn operations() -> Vec<Operation> {
    let one = "/exams/{id}/roster/{student}";
    vec![
        get("/exams/{id}/roster", "readRoster", "List the students that may sit an exam", list),
        put("/exams/{id}/roster", "replaceRoster", "Let these students sit an exam, and no others", replace),
        post("/exams/{id}/roster", "extendRoster", "Let these students sit an exam, too", extend),
        delete(one, "removeFromRoster", "Take a student off the roster", remove),
    ]
}

/// Most students of one request.
pub(super) const MAX_STUDENTS: usize = 20_000;

/// Students, by address.
#[derive(Deserialize, Validate, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewRoster", example = json!({"students": [{"email": "ada@example.com", "name": "Ada Lovelace"}]}))]
struct Roster {
    #[garde(length(max = MAX_STUDENTS))]
    #[serde(deserialize_with = "objects")]
    students: Vec<Student>,
}

/// A student. Whether the fields are good is asked of all of them at once.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewRosterStudent")]
struct Student {
    #[schemars(with = "EmailAddress")]
    email: String,
    /// What you call them; it is in their invitation.
    #[serde(default)]
    #[schemars(length(max = Profile::MAX_NAME))]
    name: String,
}

/// The students of a body of JSON or comma-separated values: every one that is wrong is named, and none is taken then.
struct RosterBody(Vec<RosterEntry>);

impl FromRequest for RosterBody {
    type Error = Problem;
    type Future = Pin<Box<dyn Future<Output = Result<Self, Problem>>>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let kind = request.content_type().to_ascii_lowercase();
        let body = bytes(request, payload);
        Box::pin(async move {
            match kind.as_str() {
                "application/json" => {
                    let Roster { students } = parse(&body.await?)?;
                    checked(students.into_iter().map(|student| (None, student))).map(Self)
                }
                "text/csv" => from_csv(&body.await?).map(Self),
                _ => Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "send application/json or text/csv")),
            }
        })
    }
}

impl Input for RosterBody {
    fn describe(description: &mut Description) {
        description.body::<Roster>();
        description.or_text("text/csv");
    }
}

/// Reads lines of `email` and `name`; a first line that names these columns may give them in another order.
fn from_csv(body: &[u8]) -> Result<Vec<RosterEntry>, Problem> {
    let text = std::str::from_utf8(body).map_err(|_| Problem::bad_request("the file is not UTF-8"))?;
    let mut lines = csv_reader::lines(text);
    let is_named = |fields: &[String], name| fields.iter().position(|field| field.eq_ignore_ascii_case(name));
    let head = lines.first().and_then(|(_, fields)| Some((is_named(fields, "email")?, is_named(fields, "name"))));
    let (email, name) = head.unwrap_or((0, Some(1)));
    if head.is_some() {
        lines.remove(0);
    } else if lines.is_empty() {
        // Half an upload, or none: it must not take everybody off.
        return Err(Problem::bad_request("the file is empty: to empty the roster, send the line `email,name`"));
    }
    if lines.len() > MAX_STUDENTS {
        return Err(Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("send at most {MAX_STUDENTS} students at once"),
        ));
    }
    let field = |fields: &[String], at: usize| fields.get(at).cloned().unwrap_or_default();
    checked(lines.into_iter().map(|(line, fields)| {
        let name = name.map(|at| field(&fields, at)).unwrap_or_default();
        (Some(line), Student { email: field(&fields, email), name })
    }))
}

/// All students, or everything that is wrong with any of them. In a file each has its line.
fn checked(students: impl Iterator<Item = (Option<usize>, Student)>) -> Result<Vec<RosterEntry>, Problem> {
    let (mut entries, mut errors, mut seen) = (Vec::new(), Vec::new(), HashMap::new());
    for (n, (line, Student { email, name })) in students.enumerate() {
        let mut refuse = |field: &str, detail: String| {
            let detail = line.map(|line| format!("line {line}: {detail}")).unwrap_or(detail);
            errors.push(FieldError { pointer: format!("/students/{n}/{field}"), detail });
        };
        if !name.is_empty() && name.chars().count() > Profile::MAX_NAME {
            refuse("name", format!("must be at most {} characters long", Profile::MAX_NAME));
        } else if let Err(error) = if name.is_empty() { Ok(()) } else { is_name(&name, &()) } {
            refuse("name", error.to_string());
        }
        match EmailAddress::parse(&email) {
            Err(error) => refuse("email", error.to_string()),
            Ok(email) => match seen.insert(email.canonical(), n) {
                Some(first) => refuse("email", format!("is the address of /students/{first}, too")),
                None => entries.push(RosterEntry { email, name }),
            },
        }
    }
    if errors.is_empty() { Ok(entries) } else { Err(Problem::invalid(errors)) }
}

/// What a change did.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "RosterChange")]
struct Changed {
    /// Students that are new on the roster.
    added: u64,
    /// Students that were on it before.
    kept: u64,
    /// Students that are not on it any more.
    removed: u64,
}

/// How a student has got a seat.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(rename = "SeatSource")]
enum Source {
    Code,
    Roster,
}

/// A student that may sit the exam.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct RosterStudent {
    email: String,
    name: String,
    source: Source,
    added_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    invited_at: Option<Timestamp>,
}

async fn list(
    state: web::Data<State>,
    owned: OwnedExam,
    Paging(page): Paging,
) -> Result<web::Json<Items<RosterStudent>>, Problem> {
    let Listed { items, next } = state.store.seats.list(owned.exam.id, page).await?;
    Ok(Items::of(Listed { items: items.into_iter().map(RosterStudent::from).collect(), next }))
}

async fn replace(
    state: web::Data<State>,
    Authorized(owned, RosterBody(entries)): Authorized<OwnedExam, RosterBody>,
) -> Result<web::Json<Changed>, Problem> {
    fill(&state, &owned, &entries, true).await
}

async fn extend(
    state: web::Data<State>,
    Authorized(owned, RosterBody(entries)): Authorized<OwnedExam, RosterBody>,
) -> Result<web::Json<Changed>, Problem> {
    fill(&state, &owned, &entries, false).await
}

async fn fill(
    state: &State,
    owned: &OwnedExam,
    entries: &[RosterEntry],
    instead: bool,
) -> Result<web::Json<Changed>, Problem> {
    let changed = state.store.seats.fill(owned.exam.id, entries, instead, owned.viewer.id, now()).await?;
    let RosterChange { added, kept, removed } = changed;
    Ok(web::Json(Changed { added, kept, removed }))
}

/// The address that a path names.
struct NamedAddress(EmailAddress);

impl FromRequest for NamedAddress {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let address = EmailAddress::parse(request.match_info().get("student").unwrap_or_default());
        std::future::ready(address.map(Self).map_err(|_| Problem::not_found()))
    }
}

impl Input for NamedAddress {
    fn describe(description: &mut Description) {
        description.path::<String>("student");
    }
}

async fn remove(
    state: web::Data<State>,
    Authorized(owned, NamedAddress(email)): Authorized<OwnedExam, NamedAddress>,
) -> Result<NoContent, Problem> {
    let had_one = state.store.seats.remove(owned.exam.id, &email, owned.viewer.id, now()).await?;
    if had_one { Ok(NoContent) } else { Err(Problem::not_found()) }
}

impl From<Seat> for RosterStudent {
    fn from(seat: Seat) -> Self {
        let Seat { entry: RosterEntry { email, name }, source, added_at, invited_at, .. } = seat;
        let source = match source {
            SeatSource::Code => Source::Code,
            SeatSource::Roster => Source::Roster,
        };
        Self { email: email.as_str().to_owned(), name, source, added_at, invited_at }
    }
}
