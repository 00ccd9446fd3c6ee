//! How the installation presents itself in mails and on pages.

use std::path::PathBuf;

use url::Url;

use super::{AppEnv, SettingsError, Values};

/// Longest `BRAND_NAME`, in characters.
const MAX_NAME: usize = 60;

/// Name, colour and addresses that mails and pages show, and where their templates are.
#[derive(Clone, Debug)]
pub struct BrandSettings {
    /// `BRAND_NAME`.
    pub name: String,
    /// `BRAND_COLOR`: red, green, blue.
    pub color: [u8; 3],
    /// `BRAND_LOGO_URL`.
    pub logo_url: Option<Url>,
    /// `SUPPORT_EMAIL`.
    pub support_email: Option<String>,
    /// `MAIL_REPLY_TO`.
    pub reply_to: Option<String>,
    /// `MAIL_TEMPLATES`.
    pub templates: Option<PathBuf>,
}

pub(super) fn brand(values: &Values, env: AppEnv) -> Result<BrandSettings, SettingsError> {
    let name = values.text("BRAND_NAME").trim();
    if name.is_empty() || name.chars().count() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(values.malformed("BRAND_NAME", &format!("one line of 1 to {MAX_NAME} characters")));
    }
    let color = color(values.text("BRAND_COLOR"));
    let color = color.ok_or_else(|| values.malformed("BRAND_COLOR", "a colour like #1f5fbf"))?;
    let logo_url = values.get("BRAND_LOGO_URL").map(|_| values.image_url("BRAND_LOGO_URL", env)).transpose()?;
    let text = |name| values.get(name).map(ToOwned::to_owned);
    Ok(BrandSettings {
        name: name.to_owned(),
        color,
        logo_url,
        support_email: text("SUPPORT_EMAIL"),
        reply_to: text("MAIL_REPLY_TO"),
        templates: values.get("MAIL_TEMPLATES").map(PathBuf::from),
    })
}

/// Parses `#rrggbb` or `#rgb`; the `#` may be missing, as it begins a comment in `.env` files.
fn color(text: &str) -> Option<[u8; 3]> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let digit = |at: usize| digits.get(at..=at).and_then(|digit| u8::from_str_radix(digit, 16).ok());
    let byte = |at: usize| Some(digit(at)? * 16 + digit(at + 1)?);
    match digits.len() {
        3 => Some([digit(0)? * 17, digit(1)? * 17, digit(2)? * 17]),
        6 => Some([byte(0)?, byte(2)?, byte(4)?]),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colors_have_three_or_six_digits() {
        for (text, expected) in [
            ("#1f5fbf", [0x1f, 0x5f, 0xbf]),
            ("1F5FBF", [0x1f, 0x5f, 0xbf]),
            ("#f80", [0xff, 0x88, 0]),
            ("000", [0, 0, 0]),
        ] {
            assert_eq!(color(text), Some(expected), "{text}");
        }
        for bad in
            ["", "#", "#1", "#12", "#1234", "#12345", "#1234567", "#12345g", "##123456", "red", "#+1+1+1", "#ée12"]
        {
            assert_eq!(color(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_brand_that_cannot_be_shown_is_rejected() {
        let check = |name: &str, value: &str, env| {
            brand(&Values::from_pairs([(name, value)]).expect("settings"), env).map(drop).map_err(|e| e.to_string())
        };
        let development = AppEnv::Development;
        for (name, value) in [
            ("BRAND_NAME", "two\nlines"),
            ("BRAND_NAME", "   "),
            ("BRAND_COLOR", "blue"),
            ("BRAND_LOGO_URL", "logo.png"),
            ("BRAND_LOGO_URL", "javascript:alert(1)"),
            ("BRAND_LOGO_URL", "data:image/png;base64,AAAA"),
        ] {
            let error = check(name, value, development).expect_err("rejected");
            assert!(error.starts_with(&format!("{name} must be ")), "{error}");
        }
        assert!(check("BRAND_NAME", &"ä".repeat(61), development).is_err());
        assert_eq!(check("BRAND_NAME", &"ä".repeat(60), development), Ok(()));
        let plain = "http://school.example/logo.png?v=2";
        assert_eq!(check("BRAND_LOGO_URL", plain, development), Ok(()));
        let error = check("BRAND_LOGO_URL", plain, AppEnv::Production).expect_err("rejected");
        assert!(error.contains("https"), "{error}");
    }
}
