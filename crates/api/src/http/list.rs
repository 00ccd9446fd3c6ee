//! Lists: which part is wanted, and how it is answered.

use actix_web::{FromRequest, HttpRequest, HttpResponse, dev::Payload, web};
use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use examhall_store::{Listed, Page};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::problem::{FieldError, Problem};

const DEFAULT_LIMIT: u32 = 20;
const MAX_LIMIT: u32 = 100;

/// The part of a list that `?limit=&cursor=` names.
pub(crate) struct Paging(pub(crate) Page);

#[derive(Deserialize)]
struct Query {
    limit: Option<String>,
    cursor: Option<String>,
}

impl FromRequest for Paging {
    type Error = Problem;
    type Future = std::future::Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = web::Query::<Query>::from_query(request.query_string());
        let query = query.map_err(|_| Problem::bad_request("limit and cursor can be given once each"));
        std::future::ready(query.and_then(|query| page(&query)).map(Self))
    }
}

fn page(query: &Query) -> Result<Page, Problem> {
    let limit = u64::from(limit(query.limit.as_deref())?);
    let after = query.cursor.as_deref().map(|cursor| from_cursor(cursor).ok_or_else(bad_cursor)).transpose()?;
    Ok(Page { limit, after })
}

/// How many items a page is to have.
pub(crate) fn limit(given: Option<&str>) -> Result<u32, Problem> {
    let limit = given.map_or(Some(DEFAULT_LIMIT), |text| text.parse().ok());
    limit.filter(|limit| (1..=MAX_LIMIT).contains(limit)).ok_or_else(|| {
        let detail = format!("must be a number from 1 to {MAX_LIMIT}");
        Problem::invalid(vec![FieldError { pointer: "/limit".to_owned(), detail }])
    })
}

pub(crate) fn bad_cursor() -> Problem {
    Problem::bad_request("cursor must be a nextCursor that this list gave")
}

fn from_cursor(cursor: &str) -> Option<Uuid> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(cursor).ok()?;
    Some(Uuid::from_bytes(bytes.try_into().ok()?))
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Answer<T> {
    items: Vec<T>,
    next_cursor: Option<String>,
}

/// `{items, nextCursor}`; `nextCursor` is `null` on the last page.
pub(crate) fn answer<T: Serialize>(listed: Listed<T>) -> HttpResponse {
    let next_cursor = listed.next.map(|next| BASE64_URL_SAFE_NO_PAD.encode(next.as_bytes()));
    HttpResponse::Ok().json(Answer { items: listed.items, next_cursor })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(limit: Option<&str>, cursor: Option<&str>) -> Result<Page, Problem> {
        page(&Query { limit: limit.map(ToOwned::to_owned), cursor: cursor.map(ToOwned::to_owned) })
    }

    #[test]
    fn a_cursor_leads_back_to_its_row() {
        let row = Uuid::from_u128(0x018f_4e3a_0000_7000_8000_0000_0000_0001);
        let cursor = BASE64_URL_SAFE_NO_PAD.encode(row.as_bytes());
        assert_eq!(parse(None, Some(&cursor)).expect("a page"), Page { limit: 20, after: Some(row) });
    }

    #[test]
    fn a_bad_cursor_is_400_and_a_bad_limit_422() {
        let status = |limit, cursor| parse(limit, cursor).expect_err("refused").to_string()[..3].to_owned();
        for cursor in ["", "x", "AAAA", "018f4e3a-0000-7000-8000-000000000001"] {
            assert_eq!(status(None, Some(cursor)), "400", "{cursor}");
        }
        for limit in ["0", "101", "-1", "ten", ""] {
            assert_eq!(status(Some(limit), None), "422", "{limit}");
        }
    }
}
