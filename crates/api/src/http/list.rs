//! Lists: which part is wanted, and how it is answered.

use std::borrow::Cow;

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_store::{Listed, Page};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, de::Error};
use uuid::Uuid;

use super::{extract::parameters, problem::Problem};
use crate::openapi::{Description, Input};

/// Highest number of items that a client asks for.
#[derive(Clone, Copy)]
pub(crate) struct Limit(pub(crate) u32);

impl Default for Limit {
    fn default() -> Self {
        Self(20)
    }
}

impl Limit {
    const MAX: u32 = 100;
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let limit = Cow::<str>::deserialize(deserializer)?.parse().ok().filter(|limit| (1..=Self::MAX).contains(limit));
        limit.map(Self).ok_or_else(|| D::Error::custom(format_args!("must be a number from 1 to {}", Self::MAX)))
    }
}

impl JsonSchema for Limit {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Limit".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "integer", "minimum": 1, "maximum": Self::MAX, "default": Self::default().0})
    }
}

/// The part of a list that `?limit=&cursor=` names.
pub(crate) struct Paging(pub(crate) Page);

#[derive(Deserialize, JsonSchema)]
struct Query {
    /// Highest number of items.
    limit: Option<Limit>,
    /// `nextCursor` of the page before.
    cursor: Option<String>,
}

impl Input for Paging {
    fn describe(description: &mut Description) {
        description.query::<Query>();
    }
}

impl FromRequest for Paging {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(parameters(request.query_string()).and_then(page).map(Self))
    }
}

fn page(Query { limit, cursor }: Query) -> Result<Page, Problem> {
    let after = cursor.as_deref().map(|cursor| from_cursor(cursor).ok_or_else(bad_cursor)).transpose()?;
    Ok(Page { limit: limit.unwrap_or_default().0.into(), after })
}

pub(crate) fn bad_cursor() -> Problem {
    Problem::bad_request("cursor must be a nextCursor that this list gave")
}

fn from_cursor(cursor: &str) -> Option<Uuid> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    Some(Uuid::from_bytes(bytes.try_into().ok()?))
}

/// One page of a list.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "{T}s")]
pub(crate) struct Items<T> {
    items: Vec<T>,
    /// `cursor` of the next page; `null` on the last one.
    next_cursor: Option<String>,
}

impl<T> Items<T> {
    pub(crate) fn new(items: Vec<T>, next_cursor: Option<String>) -> web::Json<Self> {
        web::Json(Self { items, next_cursor })
    }

    /// The page of a list of rows.
    pub(crate) fn of(listed: Listed<T>) -> web::Json<Self> {
        Self::new(listed.items, listed.next.map(|next| BASE64_URL_SAFE_NO_PAD.encode(next.as_bytes())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Page, Problem> {
        parameters(query).and_then(page)
    }

    #[test]
    fn a_cursor_leads_back_to_its_row() {
        let row = Uuid::from_u128(0x018f_4e3a_0000_7000_8000_0000_0000_0001);
        let cursor = BASE64_URL_SAFE_NO_PAD.encode(row.as_bytes());
        assert_eq!(parse(&format!("cursor={cursor}")).expect("a page"), Page { limit: 20, after: Some(row) });
    }

    #[test]
    fn a_bad_cursor_is_400_and_a_bad_limit_422() {
        let status = |query: &str| parse(query).expect_err("refused").to_string()[..3].to_owned();
        for cursor in ["", "x", "AAAA", "018f4e3a-0000-7000-8000-000000000001"] {
            assert_eq!(status(&format!("cursor={cursor}")), "400", "{cursor}");
        }
        for limit in ["0", "101", "-1", "ten", "", "7&limit=7"] {
            assert_eq!(status(&format!("limit={limit}")), "422", "{limit}");
        }
    }
}
