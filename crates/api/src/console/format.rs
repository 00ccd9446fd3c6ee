//! How pages write times.

use examhall_core::Timestamp;

/// A moment as HTML: `<time datetime="...">2026-11-29 18:05:10 UTC</time> (3 min ago)`.
pub(super) fn time(at: Timestamp, now: Timestamp) -> String {
    let exact = at.to_string();
    let shown = exact.get(..19).unwrap_or(&exact).replace('T', " ");
    let relative = relative(at, now);
    format!("<time datetime=\"{exact}\">{shown} UTC</time> <span class=\"quiet nowrap\">({relative})</span>")
}

/// How long ago, or until then: `just now`, `12 s ago`, `in 3 min`, `5 h ago`, `2 days ago`.
pub(crate) fn relative(at: Timestamp, now: Timestamp) -> String {
    let ms = now.as_millis().saturating_sub(at.as_millis());
    let span = span(ms.unsigned_abs());
    match ms {
        -999..=999 => "just now".to_owned(),
        1000.. => format!("{span} ago"),
        _ => format!("in {span}"),
    }
}

/// A length of time, in its largest unit.
pub(crate) fn span(ms: u64) -> String {
    let seconds = ms / 1000;
    match seconds {
        0 => format!("{ms} ms"),
        1..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_exact_and_relative() {
        let now = Timestamp::from_millis(1_795_424_400_000);
        let at = |ms: i64| relative(Timestamp::from_millis(now.as_millis() + ms), now);
        for (ms, text) in [
            (0, "just now"),
            (-999, "just now"),
            (-1000, "1 s ago"),
            (-119_999, "119 s ago"),
            (-120_000, "2 min ago"),
            (-7_200_000, "2 h ago"),
            (-172_800_000, "2 days ago"),
            (5000, "in 5 s"),
            (180_000, "in 3 min"),
        ] {
            assert_eq!(at(ms), text, "{ms}");
        }
        let html = time(now, now);
        assert!(
            html.starts_with("<time datetime=\"2026-11-23T09:00:00.000Z\">2026-11-23 09:00:00 UTC</time>"),
            "{html}"
        );
    }
}
