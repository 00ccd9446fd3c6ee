//! Numbers that people type: digits of any script, a decimal comma, thousands apart.

use unicode_normalization::UnicodeNormalization;

use super::folding::{is_invisible, unified};

/// Longest text that is read as a number, in characters.
const LONGEST: usize = 64;

/// The zeros of the decimal digits that people type; NFKC knows the full-width ones.
const ZEROS: [char; 15] = [
    '\u{660}', '\u{6f0}', '\u{7c0}', '\u{966}', '\u{9e6}', '\u{a66}', '\u{ae6}', '\u{b66}', '\u{be6}', '\u{c66}',
    '\u{ce6}', '\u{d66}', '\u{e50}', '\u{ed0}', '\u{f20}',
];

/// Why a text is no number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotANumber {
    /// `1,234` is a thousand and more to some and one and a bit to others.
    Ambiguous,
    /// Anything else.
    Other,
}

/// Reads a number as a person writes it.
///
/// A single dot is a decimal point, as in JSON. A single comma is a decimal comma, unless exactly three digits follow one
/// to three others (`1,234`): that is ambiguous. Of both, the last is the decimal sign. Thousands may be apart by commas,
/// dots, apostrophes or spaces where groups have three digits.
pub(crate) fn parse_number(text: &str) -> Result<f64, NotANumber> {
    if text.contains(is_raised) {
        return Err(NotANumber::Other); // NFKC would make 52 of 5²
    }
    let plain: String = text.nfkc().filter(|c| !is_invisible(*c)).map(plain).collect();
    let plain = plain.trim();
    if plain.chars().count() > LONGEST {
        return Err(NotANumber::Other);
    }
    let (mantissa, exponent) = match plain.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (plain, None),
    };
    let (sign, digits) = match mantissa.strip_prefix(['+', '-']) {
        Some(digits) => (&mantissa[..1], digits.trim_start()),
        None => ("", mantissa),
    };
    let (whole, fraction) = split(digits)?;
    let exponent = exponent.unwrap_or("0");
    let unsigned = exponent.strip_prefix(['+', '-']).unwrap_or(exponent);
    if whole.len() + fraction.len() == 0
        || !all_digits(&whole)
        || !all_digits(fraction)
        || !(1..=3).contains(&unsigned.len())
        || !all_digits(unsigned)
    {
        return Err(NotANumber::Other);
    }
    let number = format!("{sign}0{whole}.{fraction}0e{exponent}").parse::<f64>().map_err(|_| NotANumber::Other)?;
    if number.is_finite() { Ok(number) } else { Err(NotANumber::Other) }
}

/// Whole part without separators, and fraction.
fn split(digits: &str) -> Result<(String, &str), NotANumber> {
    let (dots, commas) = (digits.matches('.').count(), digits.matches(',').count());
    let last = digits.rfind(['.', ',']);
    let decimal_at = match (dots, commas, last) {
        (1, 0, last) => last,
        (0, 1, Some(at)) => {
            let (before, after) = (&digits[..at], &digits[at + 1..]);
            let groups = (1..=3).contains(&before.len()) && all_digits(before) && after.len() == 3 && all_digits(after);
            if groups && !before.starts_with('0') {
                return Err(NotANumber::Ambiguous);
            }
            last
        }
        (0, _, _) | (_, 0, _) => None, // several of one kind: thousands
        (_, 1, Some(at)) if digits[at..].starts_with(',') => last,
        (1, _, Some(at)) if digits[at..].starts_with('.') => last,
        _ => return Err(NotANumber::Other),
    };
    let (whole, fraction) = match decimal_at {
        Some(at) => (&digits[..at], &digits[at + 1..]),
        None => (digits, ""),
    };
    Ok((without_separators(whole)?, fraction))
}

/// One kind of separator, between groups of three digits.
fn without_separators(whole: &str) -> Result<String, NotANumber> {
    let is_separator = |c: char| matches!(c, '.' | ',' | '\'' | ' ');
    let Some(separator) = whole.chars().find(|c| is_separator(*c)) else { return Ok(whole.to_owned()) };
    let mut groups = whole.split(separator);
    let first = groups.next().unwrap_or_default();
    let are_groups = (1..=3).contains(&first.len()) && groups.all(|group| group.len() == 3 && all_digits(group));
    if are_groups && all_digits(first) { Ok(whole.replace(separator, "")) } else { Err(NotANumber::Other) }
}

fn all_digits(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Superscript and subscript digits.
fn is_raised(c: char) -> bool {
    matches!(c, '\u{b2}' | '\u{b3}' | '\u{b9}' | '\u{2070}'..='\u{208e}')
}

/// An ASCII character for what stands for one in numbers.
fn plain(c: char) -> char {
    let digit = ZEROS.iter().find_map(|zero| {
        let value = u32::from(c).checked_sub(u32::from(*zero))?;
        char::from_digit(value, 10)
    });
    match digit.unwrap_or_else(|| unified(c)) {
        '\u{66b}' => '.',
        '\u{66c}' => '\'',
        c if c.is_whitespace() => ' ',
        c => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_read_as_people_write_them() {
        for (text, number) in [
            ("4.25", 4.25),
            (" 4.25\n", 4.25),
            ("4,25", 4.25),
            ("1,5", 1.5),
            ("\u{ff11}.\u{ff15}", 1.5),
            ("\u{ff11}\u{ff0c}\u{ff15}", 1.5),
            ("\u{664}\u{66b}\u{662}\u{665}", 4.25),
            ("४.२५", 4.25),
            ("\u{2212}3", -3.0),
            ("\u{ff0d}3", -3.0),
            ("- 3", -3.0),
            ("+3", 3.0),
            (".5", 0.5),
            (",5", 0.5),
            ("5.", 5.0),
            ("0,123", 0.123),
            ("1234,567", 1234.567),
            ("1.234", 1.234),
            ("1,234,567", 1_234_567.0),
            ("1.234.567", 1_234_567.0),
            ("1,234.5", 1234.5),
            ("1.234,5", 1234.5),
            ("1 234,5", 1234.5),
            ("1\u{202f}234\u{a0}567", 1_234_567.0),
            ("1'234.5", 1234.5),
            ("1’234", 1234.0),
            ("6.02e23", 6.02e23),
            ("1e-3", 1e-3),
            ("\u{feff}7\u{200b}", 7.0),
            ("007", 7.0),
        ] {
            assert_eq!(parse_number(text), Ok(number), "{text:?}");
        }
        for text in ["1,234", "12,345", "-123,456", "\u{ff11},234"] {
            assert_eq!(parse_number(text), Err(NotANumber::Ambiguous), "{text:?}");
        }
        for text in [
            "", " ", ".", "-", "four", "1/2", "4 m", "1,2,3", "1.2.3", "1,23,456", "1.5.5,2", "1,5e", "1e999", "inf",
            "NaN", "0x10", "1__0", "1 2", "--1", "1e1.5", "5²", "₁",
        ] {
            assert_eq!(parse_number(text), Err(NotANumber::Other), "{text:?}");
        }
        assert!(parse_number(&"1".repeat(65)).is_err());
    }

    proptest! {
        #[test]
        fn a_number_as_json_writes_it_is_that_number(number in prop_oneof![-1e15..1e15, -10.0..10.0, any::<i32>().prop_map(f64::from)]) {
            let number: f64 = number;
            prop_assert_eq!(parse_number(&number.to_string()), Ok(number));
            prop_assert_eq!(parse_number(&format!("{number:e}")), Ok(number));
        }

        #[test]
        fn no_text_breaks_it(text in "[0-9.,'’ eE+\\-−１２٣٫\u{200b}]{0,20}") {
            if let Ok(number) = parse_number(&text) {
                prop_assert!(number.is_finite());
            }
        }
    }
}
