//! Numbers with what is right around them.

use crate::answer_key::number;

/// `number`, `number:tolerance` or `least..greatest`, as a number and its tolerance.
pub(super) fn range(text: &str) -> Option<(f64, f64)> {
    if let Some((least, greatest)) = text.split_once("..").filter(|(least, _)| !least.is_empty()) {
        let (least, greatest) = (number(least)?, number(greatest)?);
        let middle = neat(least.midpoint(greatest));
        return Some((middle, neat(greatest - middle)));
    }
    match text.split_once(':') {
        Some((answer, tolerance)) => Some((number(answer)?, number(tolerance)?)),
        None => Some((number(text)?, 0.0)),
    }
}

/// 0.1 for 0.09999999999999998: the middle of 0.1 and 0.3 is 0.2, in binary not quite.
fn neat(exact: f64) -> f64 {
    let short = format!("{exact:.12e}").parse().unwrap_or(exact);
    if f64::abs(short - exact) <= exact.abs() * 1e-15 { short } else { exact }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_in_three_ways() {
        for (text, expected) in [
            ("4.25", Some((4.25, 0.0))),
            (" -3 : 0.5 ", Some((-3.0, 0.5))),
            ("1..5", Some((3.0, 2.0))),
            ("0.1..0.3", Some((0.2, 0.1))),
            ("-2 .. -1", Some((-1.5, 0.5))),
            ("1e3", Some((1000.0, 0.0))),
            ("1000000000000001..1000000000000003", Some((1_000_000_000_000_002.0, 1.0))),
            ("", None),
            ("4,25", None),
            ("four", None),
            ("3:", None),
            ("..5", None),
            ("nan", None),
            ("inf", None),
            ("1e999", None),
            ("0x10", None),
        ] {
            assert_eq!(range(text), expected, "{text:?}");
        }
    }
}
