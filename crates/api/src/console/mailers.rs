//! `/console/mailers`: the mailers that run, and their providers.

use actix_web::HttpResponse;
use askama::Template;
use examhall_core::{Circuit, MailerStatus, ProviderStatus, RateUse, Timestamp};

use super::{
    guard::Console,
    page::{Page, html},
};
use crate::{access::may, http::problem::Problem};

#[derive(Template)]
#[template(path = "mailers.html")]
struct Mailers<'a> {
    page: &'a Page,
    mailers: Vec<MailerStatus>,
}

pub(super) async fn show(console: Console<may::ReadMailers>) -> Result<HttpResponse, Problem> {
    let mailers = console.state.operations.fleet.mailers().await?;
    let page = console.page("Mailers").live();
    html(&page, &Mailers { page: &page, mailers })
}

impl Mailers<'_> {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "templates pass references")]
    fn time(&self, at: &Timestamp) -> String {
        self.page.time(at)
    }

    /// Colour and words of a circuit.
    #[expect(clippy::unused_self, reason = "templates call methods")]
    fn circuit(&self, provider: &ProviderStatus) -> (&'static str, &'static str) {
        match provider.circuit {
            Circuit::Closed => ("good", "takes mails"),
            Circuit::HalfOpen => ("warn", "tried out: one mail at a time"),
            Circuit::Limited => ("warn", "its rate is used up"),
            Circuit::Open => ("bad", "circuit open: it is probed"),
            Circuit::NeedsOperator => ("bad", "circuit open: needs an operator"),
        }
    }

    /// Kind of an outage in words.
    #[expect(clippy::unused_self, reason = "templates call methods")]
    fn failure(&self, failure: &str) -> String {
        failure.replace('_', " ")
    }

    /// Width of a bar of 100.
    #[expect(clippy::unused_self, reason = "templates call methods")]
    fn percent(&self, rate: &RateUse) -> u32 {
        percent(rate.used, rate.allowed)
    }

    #[expect(clippy::unused_self, reason = "templates call methods")]
    fn busy(&self, mailer: &MailerStatus) -> u32 {
        percent(mailer.busy, mailer.slots)
    }
}

fn percent(part: u32, whole: u32) -> u32 {
    let percent = u64::from(part) * 100 / u64::from(whole.max(1));
    u32::try_from(percent.min(100)).unwrap_or(100)
}
