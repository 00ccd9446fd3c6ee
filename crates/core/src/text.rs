//! Validation of lines and bodies of text. The API rejects text that the mailer could not send.

use icu_properties::{
    CodePointSetData,
    props::{DefaultIgnorableCodePoint, EnumeratedProperty, GeneralCategory},
};

/// Why a text cannot be taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadText {
    /// It shows nothing, or holds a line break or another control character.
    #[error("must be one line of visible characters")]
    Line,
    /// PostgreSQL cannot store it, and mail must not hold it.
    #[error("must not hold the character NUL")]
    Nul,
}

/// Whether a text has no line break and no other control character: it can be put into a header of a mail.
pub fn is_header_text(text: &str) -> bool {
    !text.chars().any(char::is_control)
}

/// Checks that a text is one line, of which something can be seen.
///
/// # Errors
/// Returns [`BadText::Line`] if it is not.
pub fn check_line(text: &str) -> Result<(), BadText> {
    if is_header_text(text) && text.chars().any(is_visible) { Ok(()) } else { Err(BadText::Line) }
}

/// Checks a text of several lines.
///
/// # Errors
/// Returns [`BadText::Nul`] if it holds that character.
pub fn check_body(text: &str) -> Result<(), BadText> {
    if text.contains('\0') { Err(BadText::Nul) } else { Ok(()) }
}

/// Whether a character leaves a mark of its own on the screen.
fn is_visible(char: char) -> bool {
    const BRAILLE_BLANK: char = '\u{2800}';
    let is_blank = matches!(
        GeneralCategory::for_char(char),
        GeneralCategory::Control
            | GeneralCategory::Format
            | GeneralCategory::Surrogate
            | GeneralCategory::PrivateUse
            | GeneralCategory::Unassigned
            | GeneralCategory::SpaceSeparator
            | GeneralCategory::LineSeparator
            | GeneralCategory::ParagraphSeparator
            | GeneralCategory::NonspacingMark
            | GeneralCategory::EnclosingMark
    );
    !is_blank && !is_ignorable(char) && char != BRAILLE_BLANK
}

/// Whether a character is not shown at all (Unicode's property `Default_Ignorable_Code_Point`).
pub(crate) fn is_ignorable(char: char) -> bool {
    CodePointSetData::new::<DefaultIgnorableCodePoint>().contains(char)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_that_shows_nothing_is_refused() {
        for blank in [
            "",
            " ",
            "\u{a0}\u{3000}",
            "\u{200b}",
            "\u{feff}",
            "\u{202e}",
            "\u{2066}\u{2069}",
            "\u{ad}",
            "\u{3164}",
            "\u{2800}",
            "\u{301}",
            "\u{e0041}",
            "\u{fe0f}",
            "\u{e000}",
            "a\nb",
            "a\rb",
            "a\tb",
            "a\0b",
            "a\u{85}b",
            "a\u{1b}[0m",
        ] {
            assert_eq!(check_line(blank), Err(BadText::Line), "{blank:?}");
        }
        for line in ["a", "क\u{94d}\u{200d}ष", "👩\u{200d}🎓", "שלום \u{200f}!", ".", "\u{202e}abc", "李"]
        {
            assert_eq!(check_line(line), Ok(()), "{line:?}");
        }
    }

    #[test]
    fn a_body_holds_anything_but_nul() {
        assert_eq!(check_body("a\r\nb\tc\u{b}\u{1b}"), Ok(()));
        assert_eq!(check_body("a\0"), Err(BadText::Nul));
    }
}
