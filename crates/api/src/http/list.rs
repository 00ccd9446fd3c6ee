//! Lists: which part is wanted, and how it is answered.

use std::borrow::Cow;

use actix_web::{FromRequest, HttpRequest, dev::Payload, web};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_store::{KeyKind, Listed, Page, Position, Sort, SortKey, SortedPage};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, Error},
};
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

/// Orders that a list can be asked for in.
pub(crate) trait SortOrder: Copy + Default + DeserializeOwned + JsonSchema {
    type Sort: Sort;

    /// What it sorts by, and whether the highest come first.
    fn parts(self) -> (Self::Sort, bool);
}

/// The part of a list that `?sort=&limit=&cursor=` names.
pub(crate) struct SortedPaging<O: SortOrder>(pub(crate) SortedPage<O::Sort>);

#[derive(Deserialize, JsonSchema)]
struct SortedQuery<O> {
    /// What the list is sorted by; `-` before it: the highest first.
    sort: Option<O>,
    /// Highest number of items.
    limit: Option<Limit>,
    /// `nextCursor` of the page before, in the same order.
    cursor: Option<String>,
}

impl<O: SortOrder> Input for SortedPaging<O> {
    fn describe(description: &mut Description) {
        description.query::<SortedQuery<O>>();
    }
}

impl<O: SortOrder> FromRequest for SortedPaging<O> {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        std::future::ready(parameters(request.query_string()).and_then(sorted_page::<O>).map(Self))
    }
}

fn sorted_page<O: SortOrder>(query: SortedQuery<O>) -> Result<SortedPage<O::Sort>, Problem> {
    let (sort, is_descending) = query.sort.unwrap_or_default().parts();
    let after = query.cursor.map(|cursor| to_position(&cursor, sort.kind()).ok_or_else(bad_cursor)).transpose()?;
    Ok(SortedPage { sort, is_descending, limit: query.limit.unwrap_or_default().0.into(), after })
}

/// The 16 bytes of the id, then the sort key as text.
fn to_position(cursor: &str, kind: KeyKind) -> Option<Position> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let (id, key) = bytes.split_first_chunk::<16>()?;
    let key = str::from_utf8(key).ok().filter(|key| !key.contains('\0'))?;
    let key = match kind {
        KeyKind::Id => key.is_empty().then_some(None)?,
        KeyKind::Text => Some(SortKey::Text(key.to_owned())),
        KeyKind::Number => Some(SortKey::Number(key.parse().ok().filter(|number: &f64| number.is_finite())?)),
    };
    Some(Position { key, id: Uuid::from_bytes(*id) })
}

fn to_cursor(Position { key, id }: &Position) -> String {
    let key = match key {
        None => String::new(),
        Some(SortKey::Text(text)) => text.clone(),
        Some(SortKey::Number(number)) => number.to_string(),
    };
    BASE64_URL_SAFE_NO_PAD.encode([id.as_bytes(), key.as_bytes()].concat())
}

/// What is looked for in a list: 1 to 200 characters.
pub(crate) struct SearchText(pub(crate) String);

impl SearchText {
    const MAX: usize = 200;
}

impl<'de> Deserialize<'de> for SearchText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_good = (1..=Self::MAX).contains(&text.chars().count()) && !text.contains('\0');
        let detail = format_args!("must be 1 to {} characters, without NUL", Self::MAX);
        is_good.then_some(Self(text)).ok_or_else(|| D::Error::custom(detail))
    }
}

impl JsonSchema for SearchText {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "SearchText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "minLength": 1, "maxLength": Self::MAX})
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

    /// The page of a sorted list of rows.
    pub(crate) fn sorted(listed: Listed<T, Position>) -> web::Json<Self> {
        Self::new(listed.items, listed.next.as_ref().map(to_cursor))
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
    fn a_sorted_cursor_leads_back_to_its_place() {
        let id = Uuid::from_u128(7);
        for (kind, key) in [
            (KeyKind::Id, None),
            (KeyKind::Text, Some(SortKey::Text("Zoë".into()))),
            (KeyKind::Number, Some(SortKey::Number(0.1 + 0.2))),
        ] {
            let position = Position { key, id };
            let cursor = to_cursor(&position);
            assert_eq!(to_position(&cursor, kind), Some(position));
            let others = [KeyKind::Id, KeyKind::Number].into_iter().filter(|other| *other != kind);
            assert!(others.into_iter().all(|other| to_position(&cursor, other).is_none()), "{kind:?}");
        }
        let bad = BASE64_URL_SAFE_NO_PAD.encode([&[0; 16][..], b"a\0b"].concat());
        assert_eq!(to_position(&bad, KeyKind::Text), None);
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
