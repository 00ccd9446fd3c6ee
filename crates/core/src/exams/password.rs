//! Passwords: the form in which they are hashed, and which are refused.

use unicode_normalization::UnicodeNormalization;

/// Why a password is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadPassword {
    /// Less than [`MIN_CHARS`](BadPassword::MIN_CHARS) characters.
    #[error("must be at least 8 characters long")]
    TooShort,
    /// More than [`MAX_BYTES`](BadPassword::MAX_BYTES) bytes.
    #[error("must be at most 1024 bytes long")]
    TooLong,
    /// One of those that are tried first.
    #[error("is among the most common passwords")]
    Common,
    /// The owner's name or address.
    #[error("must not be your name or e-mail address")]
    Personal,
}

impl BadPassword {
    /// Shortest password (NIST SP 800-63B, section 5.1.1.2).
    pub const MIN_CHARS: usize = 8;
    /// Longest one: more would be work without gain.
    pub const MAX_BYTES: usize = 1024;
    /// Refused as they are, in lower case.
    pub const COMMON: &'static [&'static str] = &[
        "1q2w3e4r",
        "1q2w3e4r5t",
        "1qaz2wsx",
        "a1b2c3d4",
        "aa123456",
        "abcd1234",
        "access14",
        "asdf1234",
        "asdfasdf",
        "blink182",
        "charlie1",
        "charlie2",
        "chocolate",
        "correcthorsebatterystaple",
        "corvette",
        "danielle",
        "einstein",
        "elephant",
        "firebird",
        "fuckyou1",
        "garfield",
        "internet",
        "jennifer",
        "jordan23",
        "liverpool",
        "lovelove",
        "marlboro",
        "maverick",
        "mercedes",
        "michael1",
        "michelle",
        "midnight",
        "mountain",
        "mustang1",
        "nicholas",
        "p@ssw0rd",
        "p@ssword",
        "pa$$word",
        "passpass",
        "password1",
        "patrick1",
        "platinum",
        "pokemon1",
        "q1w2e3r4",
        "qazwsxedc",
        "qwe123qwe",
        "rush2112",
        "samantha",
        "scorpion",
        "slipknot",
        "spiderman",
        "starwars1",
        "steelers",
        "victoria",
        "whatever",
        "william1",
        "x123456x",
        "xxxxxxxx1",
        "zaq12wsx",
        "zxcvbnm1",
        "zxcvbnm,",
        "zxcvbnmm",
    ];
    /// Refused with whatever digits and signs behind them, in lower case.
    pub const STEMS: &'static [&'static str] = &[
        "",
        "abc",
        "abcd",
        "admin",
        "administrator",
        "asdf",
        "asdfgh",
        "asdfghjkl",
        "azerty",
        "baseball",
        "changeme",
        "computer",
        "dragon",
        "exam",
        "examhall",
        "football",
        "freedom",
        "hallo",
        "hello",
        "iloveyou",
        "letmein",
        "login",
        "master",
        "monkey",
        "pass",
        "passw0rd",
        "passwort",
        "password",
        "princess",
        "qwer",
        "qwert",
        "qwerty",
        "qwertz",
        "qwertyuiop",
        "school",
        "secret",
        "shadow",
        "starwars",
        "student",
        "sunshine",
        "superman",
        "teacher",
        "test",
        "trustno",
        "user",
        "welcome",
    ];
}

/// The form in which a password is hashed, so that it is the same from every keyboard and system: RFC 8265, section 4.2
/// (`OpaqueString`; NIST SP 800-63B-4, section 3.1.1.2, asks for the same). Spaces beyond ASCII become one, and what can be composed is (NFC).
/// Nothing is refused here: what was a password once stays one.
///
/// ```
/// use examhall_core::prepared_password;
///
/// assert_eq!(prepared_password("re\u{301}sume\u{301}"), "résumé");
/// assert_eq!(prepared_password("correct\u{a0}horse"), "correct horse");
/// ```
pub fn prepared_password(password: &str) -> String {
    let is_space =
        |c: char| matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}');
    password.chars().map(|c| if is_space(c) { ' ' } else { c }).nfc().collect()
}

/// Checks a new password of a user with this address and name.
///
/// ```
/// use examhall_core::{BadPassword, check_password};
///
/// assert_eq!(check_password("correct horse", "ada@example.com", "Ada"), Ok(()));
/// assert_eq!(check_password("Password123", "ada@example.com", "Ada"), Err(BadPassword::Common));
/// ```
///
/// # Errors
/// See [`BadPassword`].
pub fn check_password(password: &str, email: &str, name: &str) -> Result<(), BadPassword> {
    let password = prepared_password(password);
    if password.chars().count() < BadPassword::MIN_CHARS {
        return Err(BadPassword::TooShort);
    }
    if password.len() > BadPassword::MAX_BYTES {
        return Err(BadPassword::TooLong);
    }
    // As it is guessed: full-width letters are letters.
    let lower = password.nfkc().collect::<String>().to_lowercase();
    // "Password123!" is "password" to an attacker who guesses.
    let stem = lower.trim_end_matches(|c: char| c.is_ascii_digit() || c.is_ascii_punctuation());
    let mut letters = lower.chars();
    let first = letters.next();
    if BadPassword::COMMON.contains(&lower.as_str())
        || BadPassword::STEMS.contains(&stem)
        || letters.all(|letter| Some(letter) == first)
    {
        return Err(BadPassword::Common);
    }
    let (email, name) = (email.to_lowercase(), name.nfkc().collect::<String>().to_lowercase());
    let local = email.split('@').next().unwrap_or_default();
    if [email.as_str(), local, name.as_str()].contains(&lower.as_str()) {
        return Err(BadPassword::Personal);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(password: &str) -> Result<(), BadPassword> {
        check_password(password, "ada.lovelace@example.com", "Ada Lovelace")
    }

    #[test]
    fn what_is_tried_first_is_refused() {
        for common in ["password", "Password1!", "12345678", "QWERTY123", "aaaaaaaa", "1q2w3e4r", "Examhall2026!"] {
            assert_eq!(check(common), Err(BadPassword::Common), "{common}");
        }
    }

    #[test]
    fn name_and_address_are_no_passwords() {
        for personal in ["ada.lovelace", "Ada Lovelace", "ada.lovelace@example.com"] {
            assert_eq!(check(personal), Err(BadPassword::Personal), "{personal}");
        }
    }

    #[test]
    fn length_counts_in_characters_below_and_bytes_above() {
        assert_eq!(check("übergrö"), Err(BadPassword::TooShort));
        assert_eq!(check("übergröß"), Ok(()));
        assert_eq!(check(&"ab".repeat(512)), Ok(()));
        assert_eq!(check(&"ab".repeat(513)), Err(BadPassword::TooLong));
    }

    #[test]
    fn spelling_in_unicode_makes_no_other_password() {
        assert_eq!(check("ｐａｓｓｗｏｒｄ１"), Err(BadPassword::Common));
        assert_eq!(check("Ada\u{a0}Lovelace"), Err(BadPassword::Personal));
        assert_eq!(check("u\u{308}bergro"), Err(BadPassword::TooShort), "seven characters, however they are made");
        for (one, other) in [("\u{212b}ngström", "Ångstro\u{308}m"), ("a\u{2003}b\u{3000}c", "a b c"), ("ａ", "ａ")]
        {
            assert_eq!(prepared_password(one), prepared_password(other), "{one:?}");
        }
        assert_ne!(prepared_password("Straße"), prepared_password("STRASSE"), "case counts");
        let twice = prepared_password(&prepared_password("\u{1e9b}\u{323}\u{a0}"));
        assert_eq!(twice, prepared_password("\u{1e9b}\u{323}\u{a0}"));
    }

    #[test]
    fn a_phrase_is_welcome() {
        assert_eq!(check("passwords are for people"), Ok(()));
    }
}
