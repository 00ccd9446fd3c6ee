//! Words for times, spans and numbers in sentences.

use crate::Timestamp;

/// The time of day in UTC, with the date if that is another one: `10:02`, `2026-11-23 10:02`.
pub(super) fn clock(at: Timestamp, now: Timestamp) -> String {
    let (text, today) = (at.to_string(), now.to_string());
    let (day, time) = (&text[..10], &text[11..16]);
    if today.starts_with(day) { time.to_owned() } else { format!("{day} {time}") }
}

/// As [`clock`], with seconds: of something that is to happen soon.
pub(super) fn clock_with_seconds(at: Timestamp, now: Timestamp) -> String {
    format!("{}{}", clock(at, now), &at.to_string()[16..19])
}

/// Time since a moment in ms; 0 if it is in the future.
pub(super) fn ago(at: Timestamp, now: Timestamp) -> i64 {
    now.as_millis().saturating_sub(at.as_millis()).max(0)
}

/// A span in its largest fitting unit: `0.4 s`, `42 s`, `3 min`, `5 h`, `2 days`.
pub(super) fn span(ms: i64) -> String {
    const MINUTE: i64 = 60_000;
    const HOUR: i64 = 60 * MINUTE;
    match ms {
        ..10_000 => format!("{}.{} s", ms / 1000, ms % 1000 / 100),
        10_000..120_000 => format!("{} s", ms / 1000),
        120_000..7_200_000 => format!("{} min", ms / MINUTE),
        7_200_000..172_800_000 => format!("{} h", ms / HOUR),
        _ => format!("{} days", ms / (24 * HOUR)),
    }
}

/// A number with commas: `1,234,567`.
pub fn with_commas(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A count, which is not counted on above 10,000: `9,999`, `10,000+`.
pub fn bounded_count(count: u64) -> String {
    const MOST: u64 = 10_000;
    if count > MOST { format!("{}+", with_commas(MOST)) } else { with_commas(count) }
}

/// A number of mails: `1 mail`, `7 mails`, `10,000+ mails`.
pub(super) fn mails(count: u64) -> String {
    if count == 1 { "1 mail".to_owned() } else { format!("{} mails", bounded_count(count)) }
}
