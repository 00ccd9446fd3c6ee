//! The brand as templates show it: colours that can be read on each other (WCAG 2.2).

use examhall_boot::settings::BrandSettings;
use examhall_core::EmailAddress;
use minijinja::{Value, context};
use url::Url;

/// Backgrounds of the built-in templates in a light and a dark mode.
const LIGHT: Color = Color([0xff, 0xff, 0xff]);
const DARK: Color = Color([0x1f, 0x24, 0x2a]);
/// Background of pages around their cards.
const PAGE: Color = Color([0xf4, 0xf5, 0xf7]);
/// Text on these backgrounds.
const ON_LIGHT: Color = Color([0x1b, 0x1f, 0x24]);
const ON_DARK: Color = Color([0xe8, 0xea, 0xed]);
/// Least contrast of text with its background (success criterion 1.4.3).
const OF_TEXT: f64 = 4.5;
/// Least contrast of a button with its background: below it, the shape cannot be seen.
const OF_EDGES: f64 = 1.5;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Color([u8; 3]);

/// The brand's colours as variables of the stylesheet.
pub(crate) fn stylesheet(color: [u8; 3]) -> String {
    let color = Color(color);
    let (edge, link) = (color.or(OF_EDGES, PAGE, ON_LIGHT), color.or(OF_TEXT, PAGE, ON_LIGHT));
    let (dark_edge, dark_link) = (color.or(OF_EDGES, DARK, ON_DARK), color.or(OF_TEXT, DARK, ON_DARK));
    format!(
        ":root{{--accent:{color};--on-accent:{};--edge:{edge};--link:{link}}}\n\
         @media (prefers-color-scheme:dark){{:root{{--edge:{dark_edge};--link:{dark_link}}}}}\n",
        color.text()
    )
}

/// The brand's colour, and that of text on it.
pub(crate) fn color_and_text(color: [u8; 3]) -> (String, String) {
    let color = Color(color);
    (color.to_string(), color.text().to_string())
}

/// The variable `brand`.
pub(super) struct Brand<'a> {
    settings: &'a BrandSettings,
    support: Option<&'a EmailAddress>,
}

impl<'a> Brand<'a> {
    pub(super) fn new(settings: &'a BrandSettings, support: Option<&'a EmailAddress>) -> Self {
        Self { settings, support }
    }
}

impl From<Brand<'_>> for Value {
    fn from(Brand { settings, support }: Brand<'_>) -> Self {
        let color = Color(settings.color);
        let text = |color: Color| color.to_string();
        context! {
            name => settings.name.as_str(),
            logo_url => settings.logo_url.as_ref().map(Url::as_str).unwrap_or_default(),
            support_email => support.map(EmailAddress::as_str).unwrap_or_default(),
            color => text(color),
            text_color => text(color.text()),
            border_color => text(color.or(OF_EDGES, LIGHT, ON_LIGHT)),
            border_color_on_dark => text(color.or(OF_EDGES, DARK, ON_DARK)),
            link_color => text(color.or(OF_TEXT, LIGHT, ON_LIGHT)),
            link_color_on_dark => text(color.or(OF_TEXT, DARK, ON_DARK)),
        }
    }
}

impl Color {
    /// Relative luminance, 0 (black) to 1 (white).
    fn luminance(self) -> f64 {
        let linear = self.0.map(|byte| {
            let part = f64::from(byte) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        linear.iter().zip([0.2126, 0.7152, 0.0722]).map(|(part, weight)| part * weight).sum()
    }

    /// Contrast ratio, 1 to 21.
    fn contrast(self, other: Self) -> f64 {
        let (one, two) = (self.luminance(), other.luminance());
        (one.max(two) + 0.05) / (one.min(two) + 0.05)
    }

    /// Black or white, whichever is easier to read on this colour: one of them has a contrast of at least 4.58.
    fn text(self) -> Self {
        let (black, white) = (Self([0; 3]), Self([0xff; 3]));
        if self.contrast(black) > self.contrast(white) { black } else { white }
    }

    /// This colour if it has enough contrast with `background`, else `other`.
    fn or(self, least: f64, background: Self, other: Self) -> Self {
        if self.contrast(background) >= least { self } else { other }
    }
}

impl std::fmt::Display for Color {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [red, green, blue] = self.0;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contrast_is_that_of_wcag() {
        let contrast = |one, two| (Color(one).contrast(Color(two)) * 100.0).round() / 100.0;
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 0.01);
        assert!((contrast([0x77; 3], [255; 3]) - 4.48).abs() < 0.01, "the known example");
        assert!((contrast([0xff, 0, 0], [255; 3]) - 4.0).abs() < 0.01);
        assert!((contrast([5; 3], [5; 3]) - 1.0).abs() < 0.01);
    }

    #[test]
    fn text_on_every_color_can_be_read() {
        for (color, text) in [
            ([0x1f, 0x5f, 0xbf], "#ffffff"),
            ([0xff, 0xe0, 0x00], "#000000"),
            ([0xff, 0xff, 0xff], "#000000"),
            ([0, 0, 0], "#ffffff"),
        ] {
            assert_eq!(Color(color).text().to_string(), text, "{color:?}");
        }
        let steps = || (0..=255).step_by(15);
        for (red, green) in steps().flat_map(|red| steps().map(move |green| (red, green))) {
            for blue in steps() {
                let color = Color([red, green, blue]);
                assert!(color.contrast(color.text()) >= OF_TEXT, "{color}");
                for (background, other) in [(LIGHT, ON_LIGHT), (DARK, ON_DARK)] {
                    assert!(color.or(OF_TEXT, background, other).contrast(background) >= OF_TEXT, "{color}");
                }
            }
        }
    }
}
