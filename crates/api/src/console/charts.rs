//! `/console/charts`: how many mails were sent, failed and deferred, and how long they took.

use actix_web::HttpResponse;
use askama::Template;
use examhall_core::{Timestamp, with_commas};
use examhall_delivery::{HistoryStep, MailBucket};
use serde::Deserialize;

use super::{
    chart::{self, Chart},
    format,
    guard::Console,
    page::{Page, html},
};
use crate::{
    access::may,
    http::{extract::Parameters, problem::Problem},
    operations::history::{self, History},
};

#[derive(Deserialize)]
pub(super) struct Wanted {
    per: Option<Per>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Per {
    #[default]
    Minute,
    Hour,
}

#[derive(Template)]
#[template(path = "charts.html")]
struct Charts<'a> {
    page: &'a Page,
    is_hourly: bool,
    whole: f64,
    chart: Chart,
    rows: Vec<Row>,
    total: MailBucket,
}

/// A line of the table.
struct Row {
    at: String,
    sent: String,
    deferred: String,
    failed: String,
    half: String,
    most: String,
}

pub(super) async fn show(
    console: Console<may::ReadQueue>,
    Parameters(wanted): Parameters<Wanted>,
) -> Result<HttpResponse, Problem> {
    let per = wanted.per.unwrap_or_default();
    let step = if per == Per::Hour { HistoryStep::Hour } else { HistoryStep::Minute };
    let history = history::read(&console.state, step).await?;
    let mut total = MailBucket::default();
    history.buckets.iter().for_each(|(_, bucket)| total.add(bucket));
    let page = console.page("Charts").live();
    let (chart, rows) = (chart::draw(&history), rows(&history));
    let whole = chart::WHOLE;
    html(&page, &Charts { page: &page, is_hourly: per == Per::Hour, whole, chart, rows, total })
}

/// Sums by hour, or by day where the buckets are hours, newest first.
fn rows(history: &History) -> Vec<Row> {
    const HOUR: i64 = 3_600_000;
    let length = if history.step == HistoryStep::Minute { HOUR } else { 24 * HOUR };
    let mut sums: Vec<(i64, MailBucket)> = Vec::new();
    for (at, bucket) in &history.buckets {
        let start = at.as_millis().div_euclid(length) * length;
        match sums.last_mut() {
            Some((known, sum)) if *known == start => sum.add(bucket),
            _ => sums.push((start, bucket.clone())),
        }
    }
    sums.iter().rev().map(|(start, sum)| row(Timestamp::from_millis(*start), sum, history.step)).collect()
}

fn row(start: Timestamp, sum: &MailBucket, step: HistoryStep) -> Row {
    let text = start.to_string();
    let length = if step == HistoryStep::Minute { 16 } else { 10 };
    let wait = |percent| sum.wait_ms(percent).map_or_else(String::new, |ms| format::span(ms.unsigned_abs()));
    Row {
        at: text[..length].replace('T', " "),
        sent: with_commas(sum.sent),
        deferred: with_commas(sum.deferred),
        failed: with_commas(sum.failed),
        half: wait(50),
        most: wait(95),
    }
}
