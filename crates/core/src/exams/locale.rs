//! Languages of users: BCP 47 language tags.

use std::iter::successors;

use serde::{Deserialize, Serialize};

/// Language tag (BCP 47, RFC 5646) in canonical form, such as `de`, `en-GB` or `zh-Hant-TW`.
///
/// ```
/// use examhall_core::Locale;
///
/// let locale = Locale::parse("zh-hant-tw")?;
/// assert_eq!(locale.as_str(), "zh-Hant-TW");
/// assert_eq!(locale.lookup().collect::<Vec<_>>(), ["zh-Hant-TW", "zh-Hant", "zh"]);
/// # Ok::<(), examhall_core::BadLocale>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Locale(String);

/// The text is not a language tag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a language tag like de, en-GB or zh-Hant (BCP 47)")]
pub struct BadLocale;

impl Locale {
    /// Longest tag, in bytes: as many as RFC 5646, section 4.4.1, wants programs to store.
    pub const MAX_LEN: usize = 35;

    /// Parses a tag, in any case.
    ///
    /// # Errors
    /// Returns [`BadLocale`] if the text is not a well-formed tag, is longer than [`MAX_LEN`](Self::MAX_LEN), or names no
    /// language (`und`, `x-private`).
    pub fn parse(text: &str) -> Result<Self, BadLocale> {
        if text.len() > Self::MAX_LEN {
            return Err(BadLocale);
        }
        let parsed = icu_locale_core::Locale::try_from_str(text).map_err(|_| BadLocale)?;
        if parsed.id.language.is_unknown() { Err(BadLocale) } else { Ok(Self(parsed.to_string())) }
    }

    /// Returns the tag as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the tag and its shorter forms, in the order in which a lookup tries them (RFC 4647, section 3.4).
    pub fn lookup(&self) -> impl Iterator<Item = &str> {
        successors(Some(self.as_str()), |tag| {
            let (shorter, _) = tag.rsplit_once('-')?;
            // A single character only introduces what was just removed.
            let introduces = |(before, last): (&str, &str)| (last.len() == 1).then_some(before.len());
            let end = shorter.rsplit_once('-').and_then(introduces).unwrap_or(shorter.len());
            tag.get(..end)
        })
    }
}

impl TryFrom<String> for Locale {
    type Error = BadLocale;

    fn try_from(text: String) -> Result<Self, BadLocale> {
        Self::parse(&text)
    }
}

impl From<Locale> for String {
    fn from(locale: Locale) -> Self {
        locale.0
    }
}

impl std::str::FromStr for Locale {
    type Err = BadLocale;

    fn from_str(text: &str) -> Result<Self, BadLocale> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_validated_and_written_in_one_form() {
        for (given, canonical) in [
            ("de", "de"),
            ("DE-at", "de-AT"),
            ("pt-BR", "pt-BR"),
            ("zh-hant-tw", "zh-Hant-TW"),
            ("de-CH-1996", "de-CH-1996"),
            ("es-419", "es-419"),
            ("gsw", "gsw"),
            ("ar-u-nu-latn", "ar-u-nu-latn"),
            ("de-x-easy", "de-x-easy"),
        ] {
            assert_eq!(Locale::parse(given).map(String::from).as_deref(), Ok(canonical), "{given}");
        }
        for bad in [
            "",
            "d",
            "de_DE",
            "de-",
            "-de",
            "de--AT",
            "de AT",
            " de",
            "de\n",
            "de\0",
            "dë",
            "12",
            "en-toolongsubtag",
            "und",
            "x-private",
            "*",
            "de,en",
            "de;q=1",
            "../de",
            "de/../..",
            "de-x-abcdefgh-abcdefgh-abcdefgh-abcdefgh",
        ] {
            assert_eq!(Locale::parse(bad), Err(BadLocale), "{bad:?}");
        }
    }

    #[test]
    fn a_lookup_tries_shorter_tags_in_turn() {
        let lookup = |tag| Locale::parse(tag).expect("a tag").lookup().map(ToOwned::to_owned).collect::<Vec<_>>();
        assert_eq!(lookup("de"), ["de"]);
        assert_eq!(lookup("de-CH-1996"), ["de-CH-1996", "de-CH", "de"]);
        assert_eq!(lookup("de-u-nu-latn"), ["de-u-nu-latn", "de-u-nu", "de"]);
        assert_eq!(lookup("zh-Hant-x-easy"), ["zh-Hant-x-easy", "zh-Hant", "zh"]);
    }
}
