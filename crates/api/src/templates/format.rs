//! Numbers and dates as the reader's locale writes them (CLDR).

use std::ops::Range;

use examhall_core::Timestamp;
use icu_calendar::{Date, Gregorian};
use icu_datetime::{FixedCalendarDateTimeFormatter, fieldsets::YMD};
use icu_decimal::{DecimalFormatter, input::Decimal, options::DecimalFormatterOptions};
use icu_locale_core::Locale;
use minijinja::{Error, ErrorKind, State};

/// `{{ score|number }}`: 1234.5 is "1,234.5" in English and "1.234,5" in German.
pub(super) fn number(state: &State, number: f64) -> Result<String, Error> {
    // Without an exponent, and as short as it can be.
    let decimal: Decimal = number.to_string().parse().map_err(|_| bad("the filter `number` takes a number"))?;
    let formatter = DecimalFormatter::try_new(locale(state).into(), DecimalFormatterOptions::default());
    Ok(formatter.map_err(|_| bad("numbers have no form in this locale"))?.format(&decimal).to_string())
}

/// `{{ graded_at|date }}`: the day in UTC of a time in ms since 1970, "November 29, 2026" or "29. November 2026".
pub(super) fn date(state: &State, millis: i64) -> Result<String, Error> {
    let text = Timestamp::from_millis(millis).to_string();
    let part = |at: Range<usize>| text.get(at).and_then(|part| part.parse::<u8>().ok());
    let year = text.get(..4).and_then(|year| year.parse().ok());
    let day = year.zip(part(5..7)).zip(part(8..10));
    let day = day.and_then(|((year, month), day)| Date::try_new_gregorian(year, month, day).ok());
    let formatter = FixedCalendarDateTimeFormatter::<Gregorian, YMD>::try_new(locale(state).into(), YMD::long());
    let formatter = formatter.map_err(|_| bad("dates have no form in this locale"))?;
    Ok(formatter.format(&day.ok_or_else(|| bad("the filter `date` takes a time in ms since 1970"))?).to_string())
}

/// Locale of the text that is rendered.
fn locale(state: &State) -> Locale {
    let tag = state.lookup("locale");
    tag.and_then(|tag| Locale::try_from_str(tag.as_str()?).ok()).unwrap_or(Locale::UNKNOWN)
}

fn bad(reason: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, reason)
}
