//! A list as a file for spreadsheets, sent as it is read: it may be longer than memory.

use actix_web::{
    HttpRequest, HttpResponse, Responder,
    body::BoxBody,
    http::{
        StatusCode,
        header::{CACHE_CONTROL, CONTENT_DISPOSITION},
    },
};
use bytes::Bytes;
use examhall_store::Error;
use futures_util::stream;
use serde_json::json;

use super::csv;
use crate::openapi::{Answer, Description};

/// 200 with a file.
pub(crate) struct CsvFile(HttpResponse);

/// How far an export has come.
enum Next<P> {
    Heading,
    After(Option<P>),
    Done,
}

impl CsvFile {
    /// A file of this name with a heading: `chunk` returns the lines after a row, and where the next ones begin.
    pub(crate) fn streaming<P: 'static, R>(
        name: &str,
        heading: &'static [&'static str],
        chunk: impl Fn(Option<P>) -> R + 'static,
    ) -> Self
    where
        R: Future<Output = Result<(String, Option<P>), Error>>,
    {
        let file = name.to_owned();
        let rows = stream::try_unfold((Next::Heading, chunk), move |(next, chunk)| {
            let file = file.clone();
            async move {
                let (text, next) = match next {
                    Next::Done => return Ok(None),
                    Next::Heading => (csv::BOM.to_owned() + &csv::line(heading), Next::After(None)),
                    Next::After(after) => {
                        let (lines, next) = chunk(after).await.inspect_err(|error| {
                            tracing::warn!(file, %error, "Export broken off");
                        })?;
                        (lines, next.map_or(Next::Done, |last| Next::After(Some(last))))
                    }
                };
                Ok::<_, Error>(Some((Bytes::from(text), (next, chunk))))
            }
        });
        Self(
            HttpResponse::Ok()
                .content_type("text/csv; charset=utf-8")
                .insert_header((CONTENT_DISPOSITION, format!("attachment; filename=\"{name}\"")))
                .insert_header((CACHE_CONTROL, "no-store"))
                .streaming(rows),
        )
    }
}

impl Responder for CsvFile {
    type Body = BoxBody;

    fn respond_to(self, _: &HttpRequest) -> HttpResponse {
        self.0
    }
}

impl Answer for CsvFile {
    fn describe(description: &mut Description) {
        description.content(StatusCode::OK, &["Content-Disposition"], "text/csv", json!({"type": "string"}));
    }
}
